"""A batch of rooms as a dataclass of tensors, one row per room, and the names of their parts.

World axes: x right, y up, z into the room, in metres. The camera is at z = 0, the floor at y = 0. An object that a room
does not have keeps its slot with a negative extent, which no ray hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

CLASSES: tuple[str, ...] = (
    "floor",
    "ceiling",
    "wall",
    "window",
    "picture",
    "rug",
    "bed",
    "pillow",
    "table",
    "chair",
    "box",
    "cabinet",
    "cylinder",
    "sphere",
    "lamp",
)
CLASS_INDEX: dict[str, int] = {name: index for index, name in enumerate(CLASSES)}

FLOOR, CEILING, LEFT, RIGHT, BACK, FRONT = range(6)
SURFACE_CLASSES: tuple[int, ...] = tuple(
    CLASS_INDEX[name] for name in ("floor", "ceiling", "wall", "wall", "wall", "wall")
)
DECALS: tuple[str, ...] = ("rug", "window", "picture")
FRONT_Z = -1.5


@dataclass
class Rooms:
    """A batch of N rooms; every field is a tensor whose first axis is the room (float32, ids int64)."""

    size: Tensor  # [N, 3] half width, height, z of the back wall
    camera: Tensor  # [N, 5] x, height, yaw (to the right), pitch (up), tan of half the field of view
    surface_colour: Tensor  # [N, 6, 3] linear reflectance of floor, ceiling, left, right, back, front
    stripe_colour: Tensor  # [N, 6, 3] the second colour of a striped surface
    stripe_rate: Tensor  # [N, 6] stripe pairs per metre, 0 for a plain surface
    decal_surface: Tensor  # [N, 3] int64: the surface that rug, window and picture lie on
    decal_rect: Tensor  # [N, 3, 4] centre u, centre v, half u, half v on that surface
    decal_border: Tensor  # [N, 3] width of the frame
    decal_mullion: Tensor  # [N, 3] half width of the bar in the middle, 0 for none
    decal_split: Tensor  # [N, 3] where the upper colour begins, as v / half v in [-1, 1]
    decal_colour: Tensor  # [N, 3, 3, 3] frame, lower, upper colour
    decal_emission: Tensor  # [N, 3] constant shading of the pane, 0 for a lit surface
    box_centre: Tensor  # [N, K, 3]
    box_half: Tensor  # [N, K, 3] half extents; present boxes come first, absent ones are negative
    box_colour: Tensor  # [N, K, 3]
    box_class: Tensor  # [N, K] int64
    round_centre: Tensor  # [N, 3, 3] cylinder, sphere, lamp
    round_half: Tensor  # [N, 3, 3] radius, half height, radius
    round_colour: Tensor  # [N, 3, 3]
    light_centre: Tensor  # [N, 3]
    light_half: Tensor  # [N, 3] half extents of the light rectangle; one of them is 0
    light_power: Tensor  # [N]
    ambient: Tensor  # [N]
    lamp_emission: Tensor  # [N] constant shading of the lamp, 0 when it is off

    def __len__(self) -> int:
        return self.size.shape[0]

    def __getitem__(self, index: slice | Tensor | Sequence[int]) -> Rooms:
        """The rooms of a slice, an index tensor or a list of indices, as a batch."""
        if isinstance(index, int):
            raise TypeError("index rooms by a slice, a list or a tensor: a single room is rooms[i : i + 1]")
        rows = index if isinstance(index, (slice, Tensor)) else torch.as_tensor(list(index), dtype=torch.long)
        return Rooms(**{name: value[rows] for name, value in self._items()})

    def to(self, device: torch.device | str) -> Rooms:
        """The same rooms on another device."""
        return Rooms(**{name: value.to(device) for name, value in self._items()})

    @staticmethod
    def cat(parts: Sequence[Rooms]) -> Rooms:
        """Several batches concatenated; all on one device."""
        return Rooms(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Rooms)})

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.size.device

    def mirrored(self) -> Rooms:
        """The mirrored rooms (x to -x). Their pictures are the flipped pictures."""
        flip = torch.tensor([-1.0, 1.0, 1.0], device=self.device)
        swap = torch.tensor([FLOOR, CEILING, RIGHT, LEFT, BACK, FRONT], device=self.device)
        on_side = (self.decal_surface == LEFT) | (self.decal_surface == RIGHT)
        rect = self.decal_rect.clone()
        rect[..., 0] = torch.where(on_side, rect[..., 0], -rect[..., 0])
        changed = {
            "camera": self.camera * torch.tensor([-1.0, 1.0, -1.0, 1.0, 1.0], device=self.device),
            "surface_colour": self.surface_colour[:, swap],
            "stripe_colour": self.stripe_colour[:, swap],
            "stripe_rate": self.stripe_rate[:, swap],
            "decal_surface": swap[self.decal_surface],
            "decal_rect": rect,
            "box_centre": self.box_centre * flip,
            "round_centre": self.round_centre * flip,
            "light_centre": self.light_centre * flip,
        }
        return Rooms(**(dict(self._items()) | changed))

    def where(self, mask: Tensor, other: Rooms) -> Rooms:
        """These rooms where `mask` ([N] bool) is true, those of `other` elsewhere."""
        return Rooms(**{name: _select(mask, value, getattr(other, name)) for name, value in self._items()})

    def _items(self) -> list[tuple[str, Tensor]]:
        return [(f.name, getattr(self, f.name)) for f in fields(self)]


def _select(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(mask.view(-1, *[1] * (a.ndim - 1)), a, b)
