"""Lights: a small rectangle near the ceiling or near a side wall, outside of the furniture."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from sgi.trainer.scenes.draw import Draw
from sgi.trainer.scenes.rooms import Rooms

CANDIDATES = 8
LAMP_EMISSION = 1.4


def sample_light(draw: Draw, size: Tensor, box_centre: Tensor, box_half: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Light fields of `Rooms` for n rooms of `size` [n, 3], all on the CPU, and whether each is at the ceiling [n]."""
    half_width, height, back = (column[:, None] for column in size.unbind(1))
    ceiling = draw.bernoulli(0.65)
    unit = draw.uniform(0.0, 1.0, CANDIDATES, 3)
    above = torch.stack(
        [
            (2 * unit[..., 0] - 1) * (half_width - 0.6),
            height - 0.15 - 0.25 * unit[..., 1],
            1.6 + unit[..., 2] * (back - 2.4),
        ],
        -1,
    )
    side = torch.where(draw.bernoulli(0.5, CANDIDATES), 1.0, -1.0)
    beside = torch.stack(
        [
            side * (half_width - 0.3 - 0.2 * unit[..., 0]),
            1.2 + 0.9 * unit[..., 1],
            1.2 + unit[..., 2] * (back - 2.0),
        ],
        -1,
    )
    candidates = torch.where(ceiling[:, None, None], above, beside)
    inside = (candidates[:, :, None] - box_centre[:, None]).abs() < box_half[:, None] + 0.3
    free = ~(inside.all(-1) & (box_half[:, None, :, 0] > 0)).any(-1)
    first = free.to(torch.uint8).argmax(1)
    extent = draw.uniform(0.15, 0.35, 3)
    flat = torch.where(ceiling[:, None], torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 1.0]))
    light = {
        "light_centre": candidates[torch.arange(draw.n), first],
        "light_half": extent * flat,
        "light_power": draw.uniform(3.0, 5.5),
        "ambient": draw.uniform(0.22, 0.38),
    }
    return light, ceiling


def relight(rooms: Rooms, generator: torch.Generator) -> Rooms:
    """The same rooms, surfaces and cameras with another light; lamps are switched off.

    generator: on the CPU. The result is on the device of `rooms`.
    """
    draw = Draw(len(rooms), generator)
    light, _ = sample_light(draw, rooms.size.cpu(), rooms.box_centre.cpu(), rooms.box_half.cpu())
    light["lamp_emission"] = torch.zeros(len(rooms))
    return replace(rooms, **{name: value.to(rooms.device) for name, value in light.items()})
