"""Random rooms: size, camera, colours, decals and round objects. For the rest see furniture.py and lights.py.

Rooms are sampled with the cabinet at the right, and half of them are mirrored, so the distribution is symmetric.
Colours are independent of geometry, so that hue contains no information about depth.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.trainer.scenes.draw import Draw
from sgi.trainer.scenes.furniture import Boxes, place_furniture
from sgi.trainer.scenes.lights import LAMP_EMISSION, sample_light
from sgi.trainer.scenes.rooms import BACK, CEILING, FLOOR, LEFT, RIGHT, Rooms
from sgi.trainer.scenes.variety import RICH, Variety

CANDIDATES = 12
WINDOW_EMISSION = 1.45
EMITTER_LIMIT = 0.66


def sample_rooms(
    n: int, generator: torch.Generator, device: torch.device | str = "cpu", variety: Variety = RICH
) -> Rooms:
    """n random rooms on `device`. generator: on the CPU, so that the rooms are the same on every device."""
    draw = Draw(n, generator)
    size = torch.stack(
        [draw.uniform(*variety.half_width), draw.uniform(*variety.height), draw.uniform(*variety.back)], 1
    )
    camera = _camera(draw, variety)
    boxes, strip = place_furniture(draw, size, variety)
    light, ceiling = sample_light(draw, size, boxes.centre, boxes.half)
    lamp = torch.where(ceiling, draw.bernoulli(0.6), draw.bernoulli(0.2))
    hang = torch.where(ceiling[:, None], light["light_centre"], _ceiling_point(draw, size))
    radius = draw.uniform(0.13, 0.2)
    hang = torch.stack([hang[:, 0], torch.minimum(hang[:, 1], size[:, 1] - radius - 0.1), hang[:, 2]], 1)
    light["light_centre"] = torch.where((lamp & ceiling)[:, None], hang, light["light_centre"])
    centre, half = _round_objects(draw, size, camera, boxes, hang, torch.where(lamp, radius, -1.0), variety)
    rooms = Rooms(
        size=size,
        camera=camera,
        **_surfaces(draw, variety),
        **_decals(draw, size, strip, variety),
        box_centre=boxes.centre,
        box_half=boxes.half,
        box_colour=boxes.colour,
        box_class=boxes.kind,
        round_centre=centre,
        round_half=half,
        round_colour=torch.stack(
            [
                draw.colour((0.35, 0.95), (0.35, 0.95)),
                draw.colour((0.35, 0.95), (0.35, 0.95)),
                draw.colour((0.0, 0.35), (0.78, 0.83), EMITTER_LIMIT),
            ],
            1,
        ),
        lamp_emission=torch.where(lamp & ceiling, LAMP_EMISSION, 0.0),
        **light,
    )
    return rooms.mirrored().where(draw.bernoulli(0.5), rooms).to(device)


def _camera(draw: Draw, variety: Variety) -> Tensor:
    x = draw.uniform(-variety.camera_x, variety.camera_x)
    # A slight turn towards the middle keeps both side walls in most pictures.
    yaw = draw.uniform(-variety.yaw, variety.yaw) - 0.12 * x
    height, pitch = draw.uniform(1.35, 1.75), draw.uniform(*variety.pitch)
    return torch.stack([x, height, yaw, pitch, draw.uniform(*variety.tangent)], 1)


def _ceiling_point(draw: Draw, size: Tensor) -> Tensor:
    half_width, height, back = size.unbind(1)
    x = draw.uniform(-1.0, 1.0) * (half_width - 0.6)
    return torch.stack([x, height - 0.3, draw.between(torch.full_like(back, 1.8), back - 0.8)], 1)


def _surfaces(draw: Draw, variety: Variety) -> dict[str, Tensor]:
    hues = {side: draw.uniform(0.0, 1.0) for side in (LEFT, RIGHT, BACK)}
    if variety.walls_agree:
        hues[RIGHT] = torch.where(draw.bernoulli(variety.walls_agree), hues[LEFT], hues[RIGHT])
    shared = draw.bernoulli(variety.back_agrees)
    partner = torch.where(draw.bernoulli(0.5), hues[LEFT], hues[RIGHT])
    hues[BACK] = torch.where(shared, partner, hues[BACK])
    pale = draw.bernoulli(0.7)[:, None]
    ceiling = torch.where(pale, draw.colour((0.0, 0.2), (0.8, 0.95)), draw.colour((0.3, 0.8), (0.5, 0.95)))
    left, right, back = (draw.colour((0.2, 0.85), (0.45, 0.95), hue=hues[side]) for side in (LEFT, RIGHT, BACK))
    colour = torch.stack([draw.colour((0.2, 0.9), (0.3, 0.9)), ceiling, left, right, back, back], 1)
    striped = draw.bernoulli(variety.stripes, 6)
    striped[:, CEILING] = False
    factor = torch.where(draw.bernoulli(0.5, 6), draw.uniform(0.45, 0.65, 6), draw.uniform(1.5, 1.9, 6))
    # A stripe is half a pair: at least 0.5 m wide, about five pixels of a 64-pixel picture.
    rate = torch.where(striped, 1.0 / draw.uniform(1.0, 1.5, 6), 0.0)
    stripe = (colour * factor[..., None]).clamp_max(0.82)
    return {"surface_colour": colour, "stripe_colour": stripe, "stripe_rate": rate}


def _decals(draw: Draw, size: Tensor, strip: Tensor, variety: Variety) -> dict[str, Tensor]:
    """Rug, window and picture, in the order of DECALS. strip: [n] width of the cabinet at the back wall."""
    half_width, _, back = size.unbind(1)
    n, ones = draw.n, torch.ones(draw.n)
    surface = torch.full((n, 3), FLOOR)
    window_at_back = draw.bernoulli(0.6)
    surface[:, 1] = torch.where(window_at_back, BACK, LEFT)
    window, picture = draw.bernoulli(variety.window), draw.bernoulli(variety.picture)
    side = torch.where(draw.bernoulli(0.5) & ~(window & ~window_at_back), LEFT, RIGHT)
    surface[:, 2] = torch.where(draw.bernoulli(0.3) | (window & window_at_back), side, BACK)
    present = torch.stack([draw.bernoulli(variety.rug), window, picture], 1)
    half = torch.stack(
        [
            torch.stack([draw.uniform(0.75, 1.25), draw.uniform(0.45, 0.75)], 1),
            torch.stack([draw.uniform(0.45, 0.75), draw.uniform(0.42, 0.6)], 1),
            torch.stack([draw.uniform(0.3, 0.55), draw.uniform(0.25, 0.42)], 1),
        ],
        1,
    )
    wall = draw.between(
        half[:, 1:, 0] - half_width[:, None] + 0.15, (half_width - strip)[:, None] - half[:, 1:, 0] - 0.15
    )
    along = draw.between(1.9 * ones[:, None].expand(-1, 2), (back - 1.0)[:, None].expand(-1, 2))
    u = torch.where(surface[:, 1:] == BACK, wall, along)
    v = torch.stack([draw.uniform(1.55, 1.75), draw.uniform(1.6, 1.85)], 1)
    rug = torch.stack([draw.uniform(-0.6, 0.6), draw.between(2.0 * ones, back - 1.6)], 1)
    centre = torch.cat([rug[:, None], torch.stack([u, v], -1)], 1)
    half = torch.where(present[..., None], half, -1.0)
    rug_a, rug_b = draw.colour((0.3, 0.95), (0.35, 0.95)), draw.colour((0.3, 0.95), (0.35, 0.95))
    plain = draw.bernoulli(0.5)[:, None]
    sky, ground = (0.1, 0.6), (0.2, 0.9)
    colour = torch.stack(
        [
            torch.stack([rug_b, rug_a, torch.where(plain, rug_a, rug_b)], 1),
            torch.stack(
                [
                    draw.colour((0.0, 0.9), (0.25, 0.95)),
                    draw.colour(ground, (0.55, 0.83), EMITTER_LIMIT),
                    draw.colour(sky, (0.8, 0.83), EMITTER_LIMIT),
                ],
                1,
            ),
            torch.stack(
                [
                    draw.colour((0.0, 0.9), (0.1, 0.95)),
                    draw.colour(ground, (0.2, 0.95)),
                    draw.colour(ground, (0.4, 0.95)),
                ],
                1,
            ),
        ],
        1,
    )
    zero = torch.zeros(n)
    return {
        "decal_surface": surface,
        "decal_rect": torch.cat([centre, half], -1),
        "decal_border": torch.stack([draw.uniform(0.06, 0.12), draw.uniform(0.07, 0.11), draw.uniform(0.05, 0.09)], 1),
        "decal_mullion": torch.stack([zero, torch.where(draw.bernoulli(0.6), 0.045, 0.0), zero], 1),
        "decal_split": torch.stack([zero, draw.uniform(-0.6, 0.0), draw.uniform(-0.4, 0.4)], 1),
        "decal_colour": colour,
        "decal_emission": torch.stack([zero, WINDOW_EMISSION * ones, zero], 1),
    }


def _round_objects(
    draw: Draw, size: Tensor, camera: Tensor, boxes: Boxes, hang: Tensor, lamp_radius: Tensor, variety: Variety
) -> tuple[Tensor, Tensor]:
    """Centres and half extents [n, 3, 3] of cylinder, sphere and lamp. The first two stand on free floor."""
    half_width, _, back = size.unbind(1)
    x, _, yaw, _, tangent = (column[:, None] for column in camera.unbind(1))
    radius = torch.stack([draw.uniform(0.25, 0.36), draw.uniform(0.26, 0.45)], 1)
    tall = torch.stack([draw.uniform(0.2, 0.5), radius[:, 1]], 1)
    taken_centre, taken_half = boxes.centre[:, :, ::2], boxes.half[:, :, ::2]
    centre = torch.zeros(draw.n, 3, 3)
    half = torch.full((draw.n, 3, 3), -1.0)
    for index in range(2):
        r = radius[:, index, None]
        unit = draw.uniform(0.0, 1.0, CANDIDATES, 2)
        px = (2 * unit[..., 0] - 1) * (half_width[:, None] - r - 0.05)
        pz = 1.9 + r + unit[..., 1] * (back[:, None] - 1.95 - 2 * r)
        point = torch.stack([px, pz], -1)
        gap = (point[:, :, None] - taken_centre[:, None]).abs() - taken_half[:, None]
        distance = gap.clamp_min(0.0).norm(dim=-1)
        free = ((distance > r[..., None] + 0.04) | (taken_half[:, None, :, 0] < 0)).all(-1)
        across = (px - x) * yaw.cos() - pz * yaw.sin()
        ahead = (px - x) * yaw.sin() + pz * yaw.cos()
        seen = across.abs() < 0.92 * tangent * ahead
        good = free & seen
        first = good.to(torch.uint8).argmax(1)
        place = point[torch.arange(draw.n), first]
        present = good.any(1) & draw.bernoulli(variety.round_objects)
        centre[:, index] = torch.stack([place[:, 0], tall[:, index], place[:, 1]], 1)
        extent = torch.stack([radius[:, index], tall[:, index], radius[:, index]], 1)
        half[:, index] = torch.where(present[:, None], extent, -1.0)
        taken_centre = torch.cat([taken_centre, place[:, None]], 1)
        taken_half = torch.cat([taken_half, half[:, index, None, ::2]], 1)
    centre[:, 2] = hang
    half[:, 2] = lamp_radius[:, None]
    return centre, half
