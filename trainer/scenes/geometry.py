"""Ray casting, vectorised over (room, ray): the nearest hits of camera rays, and blocked shadow rays.

A vector of rays is three [N, P] tensors. Camera directions have a forward component of 1, so the ray parameter t is the
z-depth. Boxes use the slab method: t of the middle plane plus or minus t of the half extent.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sgi.trainer.scenes.rooms import BACK, CEILING, FLOOR, FRONT, FRONT_Z, LEFT, RIGHT, Rooms

SURFACES = 6
CYLINDER, SPHERE, LAMP = range(3)
NO_HIT = 1e9

Vector = tuple[Tensor, Tensor, Tensor]


class Hits(NamedTuple):
    """The nearest hit of each ray: z-depth [N, P] and the object [N, P] int64.

    Objects are numbered: 6 surfaces, K boxes, then cylinder, sphere and lamp.
    """

    depth: Tensor
    item: Tensor


def columns(vectors: Tensor) -> Vector:
    """[N, 3] as three [N, 1] columns that broadcast over rays."""
    return vectors[:, 0:1], vectors[:, 1:2], vectors[:, 2:3]


def camera_axes(camera: Tensor) -> tuple[Vector, Vector, Vector]:
    """Right, up and forward of cameras [N, 5], each three [N, 1] columns in world axes."""
    yaw, pitch = camera[:, 2:3], camera[:, 3:4]
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = yaw.sin(), yaw.cos(), pitch.sin(), pitch.cos()
    right = (cos_yaw, torch.zeros_like(yaw), -sin_yaw)
    up = (-sin_yaw * sin_pitch, cos_pitch, -cos_yaw * sin_pitch)
    return right, up, (sin_yaw * cos_pitch, sin_pitch, cos_yaw * cos_pitch)


def camera_rays(camera: Tensor, size: int, shift_x: float, shift_y: float) -> Vector:
    """World directions [N, size * size] through the points (shift_x, shift_y) in [0, 1] of every pixel."""
    steps = torch.arange(size, device=camera.device, dtype=camera.dtype)
    across = ((steps + shift_x) * (2.0 / size) - 1.0).repeat(size)
    upward = (1.0 - (steps + shift_y) * (2.0 / size)).repeat_interleave(size)
    tangent = camera[:, 4:5]
    right, up, forward = camera_axes(camera)
    x, y, z = (
        torch.addcmul(f, tangent * r, across).addcmul_(tangent * u, upward)
        for r, u, f in zip(right, up, forward, strict=True)
    )
    return x, y, z


def first_hits(rooms: Rooms, boxes: int, direction: Vector) -> Hits:
    """The nearest surface or object along camera rays; only the first `boxes` box slots are tested."""
    origin = columns(torch.stack([rooms.camera[:, 0], rooms.camera[:, 1], torch.zeros_like(rooms.camera[:, 0])], 1))
    inverse = tuple(d.reciprocal() for d in direction)
    half_width, height, back = columns(rooms.size)
    bounds = ((-half_width, half_width), (torch.zeros_like(height), height), (torch.full_like(back, FRONT_Z), back))
    exits = [
        torch.where(d > 0, high - o, low - o).mul_(i)
        for (low, high), o, d, i in zip(bounds, origin, direction, inverse, strict=True)
    ]
    depth = torch.minimum(torch.minimum(exits[0], exits[1]), exits[2])
    index = torch.where(direction[2] > 0, BACK, FRONT)
    torch.where(depth == exits[0], torch.where(direction[0] > 0, RIGHT, LEFT), index, out=index)
    torch.where(depth == exits[1], torch.where(direction[1] > 0, CEILING, FLOOR), index, out=index)

    def update_nearest(t: Tensor, number: int) -> None:
        closer = t < depth
        index.masked_fill_(closer, number)
        torch.minimum(depth, t, out=depth)

    absolute = tuple(i.abs() for i in inverse)
    for k in range(boxes):
        centre, half = columns(rooms.box_centre[:, k]), columns(rooms.box_half[:, k])
        near, far = _slabs(tuple(c - o for c, o in zip(centre, origin, strict=True)), half, inverse, absolute)
        update_nearest(near.masked_fill_((near >= far) | (near <= 0.0), NO_HIT), SURFACES + k)
    first = SURFACES + rooms.box_half.shape[1]
    update_nearest(_cylinder(rooms, origin, direction, inverse, absolute), first + CYLINDER)
    for number in (SPHERE, LAMP):
        update_nearest(_sphere(rooms, number, origin, direction), first + number)
    return Hits(depth, index)


def blocked(rooms: Rooms, boxes: int, origin: Vector, direction: Vector) -> Tensor:
    """Whether an object other than the lamp lies between origin (t = 0) and origin + direction (t = 1): [N, P] bool."""
    inverse = tuple(d.reciprocal() for d in direction)
    absolute = tuple(i.abs() for i in inverse)
    hit = torch.zeros_like(origin[0], dtype=torch.bool)
    for k in range(boxes):
        centre, half = columns(rooms.box_centre[:, k]), columns(rooms.box_half[:, k])
        near, far = _slabs(tuple(c - o for c, o in zip(centre, origin, strict=True)), half, inverse, absolute)
        hit |= near.clamp_min_(0.0) < far.clamp_max_(1.0)
    for t in (_cylinder(rooms, origin, direction, inverse, absolute), _sphere(rooms, SPHERE, origin, direction)):
        hit |= t < 1.0
    return hit


def _slabs(
    middle: tuple[Tensor, ...], half: Vector, inverse: tuple[Tensor, ...], absolute: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    lows, highs = [], []
    for m, h, i, a in zip(middle, half, inverse, absolute, strict=True):
        centre, reach = m * i, h * a
        lows.append(centre - reach)
        highs.append(centre.add_(reach))
    near = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    far = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return near, far


def _sphere(rooms: Rooms, number: int, origin: Vector, direction: Vector) -> Tensor:
    """t of the entry point, NO_HIT where the ray misses or starts inside."""
    radius = rooms.round_half[:, number, 0:1]
    ox, oy, oz = (o - c for o, c in zip(origin, columns(rooms.round_centre[:, number]), strict=True))
    dx, dy, dz = direction
    a = dx * dx + dy * dy + dz * dz
    b = dx * ox + dy * oy + dz * oz
    # r |r| keeps the sign: an absent sphere has a negative radius and no real root.
    c = ox * ox + oy * oy + oz * oz - radius * radius.abs()
    root = (b * b).sub_(a * c)
    t = (-b - root.clamp_min(0.0).sqrt_()).div_(a)
    return t.masked_fill_((root <= 0.0) | (t <= 0.0), NO_HIT)


def _cylinder(
    rooms: Rooms, origin: Vector, direction: Vector, inverse: tuple[Tensor, ...], absolute: tuple[Tensor, ...]
) -> Tensor:
    """t of the entry point into the upright solid cylinder, the intersection of a horizontal slab and a tube."""
    radius, half = rooms.round_half[:, CYLINDER, 0:1], rooms.round_half[:, CYLINDER, 1:2]
    ox, oy, oz = (o - c for o, c in zip(origin, columns(rooms.round_centre[:, CYLINDER]), strict=True))
    dx, dz = direction[0], direction[2]
    a = dx * dx + dz * dz
    b = dx * ox + dz * oz
    root = (b * b).sub_(a * (ox * ox + oz * oz - radius * radius.abs()))
    width = root.clamp_min(0.0).sqrt_()
    middle, reach = -oy * inverse[1], half * absolute[1]
    near = torch.maximum((-b - width).div_(a), middle - reach)
    far = torch.minimum((width - b).div_(a), middle + reach)
    return near.masked_fill_((root <= 0.0) | (near >= far) | (near <= 0.0), NO_HIT)
