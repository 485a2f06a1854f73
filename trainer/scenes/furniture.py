"""Beds, tables and cabinets as boxes, for a batch of rooms, with the cabinet at the right.

Objects cannot overlap: the cabinet occupies a strip at the right or at the back, and the bed or the table is placed in
the rest. `sampling.py` mirrors half of the rooms, so the distribution is symmetric.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.trainer.scenes.draw import Draw
from sgi.trainer.scenes.rooms import CLASS_INDEX
from sgi.trainer.scenes.variety import Variety

VIVID, FULL = (0.35, 0.95), (0.35, 0.95)
MAX_BOXES = 12


@dataclass
class Boxes:
    """Boxes of n rooms during placement: [n, K, ...]. present: bool, whether a box exists."""

    centre: Tensor
    half: Tensor
    colour: Tensor
    kind: Tensor
    present: Tensor

    @staticmethod
    def stack(parts: list[tuple[str, Tensor, Tensor, Tensor, Tensor]]) -> Boxes:
        """From (class name, centre [n, 3], half [n, 3], colour [n, 3], present [n] bool) per box."""
        names, centre, half, colour, present = zip(*parts, strict=True)
        n = centre[0].shape[0]
        kind = torch.tensor([CLASS_INDEX[name] for name in names]).expand(n, -1)
        return Boxes(
            torch.stack(centre, 1), torch.stack(half, 1), torch.stack(colour, 1), kind, torch.stack(present, 1)
        )

    def packed(self, count: int) -> Boxes:
        """The first `count` slots after sorting: present boxes first, then absent ones with negative extents."""
        order = torch.argsort(self.present.to(torch.uint8), dim=1, descending=True, stable=True)[:, :count]
        rows = order[..., None].expand(-1, -1, 3)
        present = self.present.gather(1, order)
        half = torch.where(present[..., None], self.half.gather(1, rows), -1.0)
        centre = torch.where(present[..., None], self.centre.gather(1, rows), 0.0)
        return Boxes(centre, half, self.colour.gather(1, rows), self.kind.gather(1, order), present)


def place_furniture(draw: Draw, size: Tensor, variety: Variety) -> tuple[Boxes, Tensor]:
    """Boxes of n rooms of `size` [n, 3], and the width [n] that the cabinet occupies at the right of the back wall."""
    cabinet, strip_side, strip_back = _cabinet(draw, size, variety.cabinet)
    is_bed = draw.bernoulli(variety.bed)
    parts = _bed(draw, size, strip_side + strip_back[:, 0], is_bed, variety.bed_at_side)
    parts += _table(draw, size, strip_side, strip_back[:, 1], ~is_bed)
    return Boxes.stack(parts + cabinet).packed(MAX_BOXES), strip_side + strip_back[:, 0]


def _vec(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.stack([x, y, z], -1)


def _cabinet(draw: Draw, size: Tensor, probability: float) -> tuple[list, Tensor, Tensor]:
    """A cabinet or wardrobe at the right wall or in the right back corner, with a panel on its front.

    Returns its boxes, the width [n] of its strip at the right wall, and the width and depth [n, 2] of its part of the
    back wall; zero where it occupies none.
    """
    half_width, _, back = size.unbind(1)
    present, at_side = draw.bernoulli(probability), draw.bernoulli(0.5)
    deep, wide = draw.uniform(0.42, 0.6), draw.uniform(0.8, 1.2)
    height = torch.where(draw.bernoulli(0.55), draw.uniform(1.6, 2.15), draw.uniform(0.75, 1.1))
    gap = torch.where(at_side, draw.uniform(0.02, 0.7), torch.full_like(deep, 0.02))
    half = 0.5 * torch.where(at_side[:, None], _vec(deep, height, wide), _vec(wide, height, deep))
    centre = _vec(half_width - 0.02 - half[:, 0], half[:, 1], back - gap - half[:, 2])
    facing = torch.where(at_side[:, None], torch.tensor([-1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, -1.0]))
    inset = facing.abs()
    panel_half = torch.where(inset > 0, torch.full_like(half, 0.02), half * 0.8)
    panel_centre = centre + facing * (half + 0.02)
    panel = present & draw.bernoulli(0.6)
    parts = [
        ("cabinet", centre, half, draw.colour(VIVID, FULL), present),
        ("cabinet", panel_centre, panel_half, draw.colour((0.1, 0.9), FULL), panel),
    ]
    zero = torch.zeros_like(deep)
    strip_side = torch.where(present & at_side, deep + 0.08, zero)
    corner = torch.where((present & ~at_side)[:, None], torch.stack([wide, deep], 1) + 0.08, 0.0)
    return parts, strip_side, corner


def _bed(draw: Draw, size: Tensor, strip: Tensor, is_bed: Tensor, sideways: float) -> list:
    """A bed with its head at the back wall or at the left wall, and a night table in a gap at its left."""
    half_width, _, back = size.unbind(1)
    at_side = draw.bernoulli(sideways)
    width, length = draw.uniform(1.25, 1.75), draw.uniform(1.85, 2.05)
    base, quilt = draw.uniform(0.3, 0.44), draw.uniform(0.06, 0.12)
    head = draw.uniform(0.85, 1.25)
    middle_x = draw.between(-half_width + 0.1 + width / 2, half_width - strip - 0.12 - width / 2)
    # In a short room the bed stays at the back wall and can be nearer to the camera than 2 m.
    farthest = back - width / 2 - 0.08
    nearest = torch.minimum(torch.maximum(back - width / 2 - 0.8, 2.0 + width / 2), farthest)
    middle_z = draw.between(nearest, farthest)

    def local(along: Tensor, up: Tensor, across: Tensor, ha: Tensor, hy: Tensor, hb: Tensor) -> tuple[Tensor, Tensor]:
        # "along" is the direction from head to foot, "across" that of the width.
        side = _vec(-half_width + along, up, middle_z + across)
        rear = _vec(middle_x + across, up, back - along)
        pick = at_side[:, None]
        return torch.where(pick, side, rear), torch.where(pick, _vec(ha, hy, hb), _vec(hb, hy, ha))

    thick = torch.full_like(width, 0.05)
    zero = torch.zeros_like(width)
    covered = draw.uniform(0.62, 0.74) * length
    cushion = (width * 0.2, draw.uniform(0.17, 0.22), draw.uniform(0.07, 0.1))
    sheet, pillow = draw.colour((0.0, 0.6), (0.6, 0.95)), draw.colour((0.0, 0.85), (0.6, 0.95))
    cover_bottom = 0.45 * base
    cover_half = 0.5 * (base + quilt - cover_bottom)
    boxes = [
        (
            "bed",
            *local(thick + 0.02, head / 2, zero, thick, head / 2, width / 2 + 0.05),
            draw.colour(VIVID, (0.25, 0.85)),
        ),
        ("bed", *local(0.12 + length / 2, base / 2, zero, length / 2, base / 2, width / 2), sheet),
        (
            "bed",
            *local(
                0.15 + length - covered / 2, cover_bottom + cover_half, zero, covered / 2, cover_half, width / 2 + 0.03
            ),
            draw.colour(VIVID, (0.45, 0.95)),
        ),
    ]
    for sign in (-1.0, 1.0):
        box = local(0.16 + cushion[1], base + cushion[2], sign * width * 0.24, cushion[1], cushion[2], cushion[0])
        boxes.append(("pillow", *box, pillow))
    parts = [(name, centre, half, colour, is_bed) for name, centre, half, colour in boxes]
    small = draw.uniform(0.2, 0.26)
    tall = draw.uniform(0.22, 0.32)
    left = middle_x - width / 2
    fits = is_bed & ~at_side & (left + half_width > 0.68) & draw.bernoulli(0.6)
    centre = _vec(left - 0.1 - small, tall, back - 0.03 - small)
    parts.append(("cabinet", centre, _vec(small, tall, small), draw.colour(VIVID, FULL), fits))
    return parts


def _table(draw: Draw, size: Tensor, strip: Tensor, corner_depth: Tensor, is_table: Tensor) -> list:
    """A table on four legs or on a pedestal, up to two chairs at its ends and perhaps a box on it."""
    half_width, _, back = size.unbind(1)
    wide, deep = draw.uniform(0.5, 0.8), draw.uniform(0.35, 0.5)
    height, top = draw.uniform(0.68, 0.78), draw.uniform(0.03, 0.05)
    reach = wide + 0.56
    x = draw.between(-half_width + reach + 0.05, half_width - strip - reach - 0.05)
    farthest = back - corner_depth - deep - 0.12
    z = draw.between(torch.minimum(2.35 + deep, farthest), farthest)
    wood, chair = draw.colour(VIVID, FULL), draw.colour(VIVID, FULL)
    parts = [("table", _vec(x, height - top, z), _vec(wide, top, deep), wood, is_table)]
    pedestal = draw.bernoulli(0.35)
    leg, foot = draw.uniform(0.045, 0.07), draw.uniform(0.12, 0.2)
    leg_half = height / 2 - top
    for index, (sx, sz) in enumerate([(-1, -1), (1, -1), (-1, 1), (1, 1)]):
        centre = _vec(x + sx * (wide - leg), leg_half, z + sz * (deep - leg))
        half = _vec(leg, leg_half, leg)
        if index == 0:
            centre = torch.where(pedestal[:, None], _vec(x, leg_half, z), centre)
            half = torch.where(pedestal[:, None], _vec(foot, leg_half, foot), half)
        parts.append(("table", centre, half, wood, is_table & (~pedestal if index else torch.ones_like(pedestal))))
    seat, seat_height = draw.uniform(0.19, 0.22), draw.uniform(0.42, 0.48)
    tall, thin = draw.uniform(0.85, 1.05), torch.full_like(seat, 0.035)
    shift = draw.uniform(-0.12, 0.12)
    for sign, has_chair in ((-1.0, draw.bernoulli(0.7)), (1.0, draw.bernoulli(0.55))):
        middle = x + sign * (wide + 0.04 + seat)
        back_half = (tall - seat_height) / 2
        present = is_table & has_chair
        parts.append(
            ("chair", _vec(middle, seat_height / 2, z + shift), _vec(seat, seat_height / 2, seat), chair, present)
        )
        centre = _vec(middle + sign * (seat - thin), seat_height + back_half, z + shift)
        parts.append(("chair", centre, _vec(thin, back_half, seat), chair, present))
    half = draw.uniform(0.1, 0.24, 3) * torch.tensor([1.0, 0.9, 0.7])
    centre = _vec(x + draw.uniform(-0.2, 0.2), height + half[:, 1], z + draw.uniform(-0.1, 0.1))
    parts.append(("box", centre, half, draw.colour(VIVID, FULL), is_table & draw.bernoulli(0.6)))
    return parts
