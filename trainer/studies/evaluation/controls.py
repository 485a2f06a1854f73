"""Controls: targets that are not properties of the scene, such as a mirrored picture or a shuffled map.

A control has the name, readout and loss of a type and other codes, so it is fitted exactly like the type itself.
Bhattad et al. (arXiv 2306.00987) state that offsets do not produce certain transformations of the picture. A fit on a
small generator can produce some of them, so the study measures all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import IMAGE
from sgi.trainer.offsets.pool import Pool

TILES = 4
"""Tiles a side of the tile shuffle."""
RANDOM_BLOCKS = 8
"""Blocks a side of a random map."""

Expected = Literal["hard", "easy", "impossible"]


@dataclass(frozen=True)
class Control:
    """One control.

    text: description of the target. expected: `hard` where the picture determines the target but content moves to
    other places, so that a correct map does not help; `easy` where a change of colours is enough; `impossible` where
    the picture does not determine the target, which checks the evaluation itself. apply: (codes [N, C, H, W] in
    [0, 1], seeds) to the targets, the same shape.
    """

    text: str
    expected: Expected
    apply: Callable[[Tensor, range], Tensor]


def _half_swap(codes: Tensor, seeds: range) -> Tensor:
    return codes.roll(codes.shape[-1] // 2, dims=-1)


def _tile_shuffle(codes: Tensor, seeds: range) -> Tensor:
    """The same permutation of tiles for every picture, drawn once; no tile stays."""
    count, channels, height, width = codes.shape
    tiles = codes.reshape(count, channels, TILES, height // TILES, TILES, width // TILES)
    flat = tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # [N, tiles, C, h, w]
    flat = flat[:, _derangement(TILES * TILES)]
    tiles = flat.unflatten(1, (TILES, TILES)).permute(0, 3, 1, 4, 2, 5)
    return tiles.reshape(codes.shape)


def _derangement(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(count, generator=generator)
        if (order != torch.arange(count)).all():
            return order


def _random_map(codes: Tensor, seeds: range) -> Tensor:
    drawn = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        drawn.append(torch.rand(codes.shape[1], RANDOM_BLOCKS, RANDOM_BLOCKS, generator=generator))
    return F.interpolate(torch.stack(drawn), size=codes.shape[-2:], mode="nearest").to(codes.dtype)


CONTROLS = {
    "half-swap": Control("left and right half exchanged", "hard", _half_swap),
    "hflip": Control("mirrored left to right", "hard", lambda codes, seeds: codes.flip(-1)),
    "vflip": Control("mirrored top to bottom", "hard", lambda codes, seeds: codes.flip(-2)),
    "rot180": Control("turned by 180 degrees", "hard", lambda codes, seeds: codes.flip(-2, -1)),
    "tile-shuffle": Control(f"{TILES} x {TILES} tiles in another order", "hard", _tile_shuffle),
    "invert": Control("inverted: 1 - code", "easy", lambda codes, seeds: 1 - codes),
    "random-map": Control("random blocks, others for each picture", "impossible", _random_map),
    "other-seed": Control("the map of another picture", "impossible", lambda codes, seeds: codes.roll(1, dims=0)),
}


def get_control(name: str) -> Control:
    """The control of that name; raises UserError if there is none."""
    try:
        return CONTROLS[name]
    except KeyError:
        raise UserError(f"`control={name}`: choose from {', '.join(CONTROLS)}") from None


def controlled(pool: Pool, kind: str, control: str | None) -> Pool:
    """The pool with the codes of `kind` alone, changed by the control; those of `image` are the pictures."""
    codes = pool.images if kind == IMAGE else pool.codes[kind]
    if control is not None:
        codes = get_control(control).apply(codes, pool.seeds)
    return replace(pool, codes={kind: codes})
