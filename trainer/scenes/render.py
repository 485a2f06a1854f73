"""The renderer: one pass of rays per subpixel, each pass with a different sample of the area light.

The image is srgb_encode(albedo * shading), with albedo averaged over the subpixels and
shading = mean(light) / mean(albedo), so that image = albedo * shading holds in every pixel, also at edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.trainer.scenes.geometry import (
    CYLINDER,
    LAMP,
    SURFACES,
    Hits,
    Vector,
    blocked,
    camera_axes,
    camera_rays,
    columns,
    first_hits,
)
from sgi.trainer.scenes.maps import BRIGHTEST, Maps
from sgi.trainer.scenes.rooms import CLASS_INDEX, DECALS, FRONT_Z, LEFT, RIGHT, SURFACE_CLASSES, Rooms
from sgi.trainer.scenes.srgb import srgb_encode

RAYS_PER_CHUNK = {"cpu": 1 << 15, "cuda": 1 << 22}
FALLOFF = 1.5
# Irradiance is linear below KNEE and approaches KNEE + SHOULDER smoothly above it, which keeps albedo * shading below
# 1. The curve does not depend on albedo, so shading does not either.
KNEE, SHOULDER = 0.75, 0.45
LIFT = 2e-3


@torch.no_grad()
def render(rooms: Rooms, size: int = 64, supersample: int = 2) -> Maps:
    """Maps of `rooms`, size x size pixels, with supersample^2 camera and shadow rays per pixel, on their device."""
    count = (rooms.box_half[..., 0] > 0).sum(1)
    # Rooms are sorted by their number of boxes: a chunk tests as many box slots as its fullest room has.
    order = torch.argsort(count, stable=True)
    per_chunk = max(1, RAYS_PER_CHUNK.get(rooms.device.type, 1 << 20) // (size * size))
    parts = []
    for chunk in order.split(per_chunk):
        parts.append(_render_chunk(rooms[chunk], int(count[chunk].max()), size, supersample))
    maps = Maps.cat(parts)
    back = torch.argsort(order)
    return Maps(**{name: value[back] for name, value in vars(maps).items()})


def _render_chunk(rooms: Rooms, boxes: int, size: int, supersample: int) -> Maps:
    n, device = len(rooms), rooms.device
    samples = supersample * supersample
    albedo = torch.zeros(n, 3, size * size, device=device)
    normal = torch.zeros_like(albedo)
    depth = torch.zeros(n, size * size, device=device)
    light = torch.zeros_like(depth)
    segmentation = None
    for row in range(supersample):
        for column in range(supersample):
            direction = camera_rays(rooms.camera, size, (column + 0.5) / supersample, (row + 0.5) / supersample)
            hits = first_hits(rooms, boxes, direction)
            point = _along(rooms, direction, hits)
            facing = _normals(rooms, point, hits)
            colour, emission, kind = _surface(rooms, point, hits)
            across, along = (2 * (column + 0.5) / supersample - 1.0, 2 * (row + 0.5) / supersample - 1.0)
            irradiance = _irradiance(rooms, boxes, point, facing, across, along)
            irradiance = torch.where(emission > 0.0, emission, irradiance)
            for channel, value in enumerate(colour):
                albedo[:, channel] += value
            light.addcmul_(colour[0] + colour[1] + colour[2], irradiance)
            depth += hits.depth
            for channel, axis in enumerate(camera_axes(rooms.camera)):
                turned = axis[0] * facing[0] + axis[1] * facing[1] + axis[2] * facing[2]
                normal[:, channel] += -turned if channel == 2 else turned
            segmentation = kind if segmentation is None else segmentation
    assert segmentation is not None
    shading = light / albedo.sum(1)
    albedo /= samples
    # An antialiased edge can mix a bright pane with a pale frame; limit shading so that no channel clips.
    shading = torch.minimum(shading, albedo.amax(1).reciprocal()).clamp_max_(BRIGHTEST).unsqueeze(1)
    normal = torch.nn.functional.normalize(normal, dim=1)

    def square(x: Tensor) -> Tensor:
        return x.view(n, -1, size, size)

    return Maps(
        image=square(srgb_encode(albedo * shading)),
        depth=square(depth / samples),
        normal=square(normal),
        albedo=square(albedo),
        shading=square(shading),
        segmentation=segmentation.view(n, size, size),
    )


def _along(rooms: Rooms, direction: Vector, hits: Hits) -> Vector:
    x, y, z = direction
    t = hits.depth
    return torch.addcmul(rooms.camera[:, 0:1], x, t), torch.addcmul(rooms.camera[:, 1:2], y, t), z * t


def _normals(rooms: Rooms, point: Vector, hits: Hits) -> Vector:
    """Unit normals in world axes, towards the open side, from the position of a hit relative to the object's extent."""
    half_width, height, back = rooms.size.unbind(1)
    zero = torch.zeros_like(height)
    room_centre = torch.stack([zero, 0.5 * height, 0.5 * (back + FRONT_Z)], 1)[:, None].expand(-1, SURFACES, -1)
    room_half = torch.stack([half_width, 0.5 * height, 0.5 * (back - FRONT_Z)], 1)[:, None].expand(-1, SURFACES, -1)
    # The room is a box seen from inside: a negative extent gives normals that point inwards.
    centre = torch.cat([room_centre, rooms.box_centre, rooms.round_centre], 1)
    scale = torch.cat([-room_half, rooms.box_half, rooms.round_half], 1).reciprocal()
    q = [(p - _pick(centre[..., a], hits)).mul_(_pick(scale[..., a], hits)) for a, p in enumerate(point)]
    size = [value.abs() for value in q]
    largest = torch.maximum(torch.maximum(size[0], size[1]), size[2])
    first = SURFACES + rooms.box_half.shape[1]
    is_round = hits.item >= first
    tube = (hits.item == first + CYLINDER) & (size[1] < 1.0 - 1e-4)
    ball = hits.item > first + CYLINDER
    smooth = ball | tube
    flat = [torch.where(s == largest, v.sign(), 0.0) for s, v in zip(size, q, strict=True)]
    flat[0] = flat[0].masked_fill_(is_round & ~smooth, 0.0)
    flat[1] = torch.where(is_round & ~smooth, q[1].sign(), flat[1])
    flat[2] = flat[2].masked_fill_(is_round & ~smooth, 0.0)
    q[1] = q[1].masked_fill(tube, 0.0)
    x, y, z = (torch.where(smooth, v, f) for v, f in zip(q, flat, strict=True))
    return x, y, z


def _pick(table: Tensor, hits: Hits) -> Tensor:
    return table.gather(1, hits.item)


def _surface(rooms: Rooms, point: Vector, hits: Hits) -> tuple[list[Tensor], Tensor, Tensor]:
    """Reflectance (three [N, P]), constant shading [N, P] (0 where lit) and class [N, P] uint8."""
    n, device = len(rooms), rooms.device
    table = torch.cat([rooms.surface_colour, rooms.box_colour, rooms.round_colour], 1)
    colour = [_pick(table[..., channel], hits) for channel in range(3)]
    names = torch.tensor([CLASS_INDEX[name] for name in ("cylinder", "sphere", "lamp")], device=device)
    walls = torch.tensor(SURFACE_CLASSES, device=device).expand(n, -1)
    kinds = torch.cat([walls, rooms.box_class, names.expand(n, -1)], 1).to(torch.uint8)
    kind = _pick(kinds, hits)
    lamp = hits.item == SURFACES + rooms.box_half.shape[1] + LAMP
    emission = torch.where(lamp, rooms.lamp_emission[:, None], 0.0)

    on_side = (hits.item == LEFT) | (hits.item == RIGHT)
    u = torch.where(on_side, point[2], point[0])
    rate = torch.zeros_like(table[..., 0])
    rate[:, :SURFACES] = rooms.stripe_rate
    second = table.clone()
    second[:, :SURFACES] = rooms.stripe_colour
    # |u| makes stripes symmetric about the middle of the room, so that a mirrored room has mirrored stripes.
    striped = (u.abs() * _pick(rate, hits)).frac_() >= 0.5
    for channel in range(3):
        colour[channel] = torch.where(striped, _pick(second[..., channel], hits), colour[channel])

    v = torch.where(hits.item < LEFT, point[2], point[1])
    for d, name in enumerate(DECALS):
        cu, cv, hu, hv = (rooms.decal_rect[:, d, i : i + 1] for i in range(4))
        du, dv = u - cu, v - cv
        inside = (hits.item == rooms.decal_surface[:, d : d + 1]) & (du.abs() < hu) & (dv.abs() < hv)
        border = rooms.decal_border[:, d : d + 1]
        pane = (du.abs() < hu - border) & (dv.abs() < hv - border)
        pane &= du.abs() >= rooms.decal_mullion[:, d : d + 1]
        upper = dv > hv * rooms.decal_split[:, d : d + 1]
        for channel in range(3):
            frame, low, high = (rooms.decal_colour[:, d, i, channel : channel + 1] for i in range(3))
            value = torch.where(pane, torch.where(upper, high, low), frame)
            colour[channel] = torch.where(inside, value, colour[channel])
        emission = torch.where(inside & pane, rooms.decal_emission[:, d : d + 1], emission)
        kind = kind.masked_fill(inside, CLASS_INDEX[name])
    return colour, emission, kind


def _irradiance(rooms: Rooms, boxes: int, point: Vector, normal: Vector, across: float, along: float) -> Tensor:
    """Ambient plus one shadowed light sample at (across, along) in [-1, 1]^2 of the light: [N, P].

    Lambertian, with power / (d^2 + 1.5). The ambient part is slightly weaker on surfaces that face down.
    """
    offset = torch.tensor([across, across, along], device=rooms.device)
    target = columns(rooms.light_centre + rooms.light_half * offset)
    start = tuple(torch.add(p, n, alpha=LIFT) for p, n in zip(point, normal, strict=True))
    toward = tuple(t - s for t, s in zip(target, start, strict=True))
    squared = toward[0] * toward[0] + toward[1] * toward[1] + toward[2] * toward[2]
    cosine = toward[0] * normal[0] + toward[1] * normal[1] + toward[2] * normal[2]
    direct = cosine.clamp_min_(0.0).mul_(squared.rsqrt()).mul_(rooms.light_power[:, None]).div_(squared + FALLOFF)
    hidden = blocked(rooms, boxes, (start[0], start[1], start[2]), (toward[0], toward[1], toward[2]))
    direct.masked_fill_(hidden, 0.0)
    total = direct.add_(rooms.ambient[:, None] * (0.85 + 0.15 * normal[1]))
    over = (total - KNEE).clamp_min(0.0)
    return torch.minimum(total, KNEE + SHOULDER * (1.0 - torch.exp(over / -SHOULDER)))
