"""Pictures of one item of a run folder for the sheet: its maps side by side, with marked cells for what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.view.reduction import reduce_values
from sgi.engine.writers.display import Span, in_colours, to_rgb

LEAST, MOST = 64, 128
"""Side of a cell in pixels: smaller maps are enlarged, larger ones reduced."""
GAP = 4
_PAPER, _STRIPE, _CROSS = (226, 226, 226), (206, 206, 206), (176, 32, 32)
_STRIPES = 8  # pixels


def cell_side(resolution: int) -> int:
    """Side of a cell of maps of this resolution: a multiple of it, or MOST."""
    if resolution > MOST:
        return MOST
    return resolution * -(-LEAST // resolution)


def strip_size(types: int, resolution: int) -> tuple[int, int]:
    """Width and height of a strip of so many types."""
    side = cell_side(resolution)
    return types * (side + GAP) - GAP, side


def draw_strip(
    types: Sequence[Intrinsic], resolution: int, maps: Mapping[str, NDArray[np.float32]], spans: Mapping[str, Span]
) -> NDArray[np.uint8]:
    """Pixels [H, W, 4] of maps {type: [C, R, R]}, with a cross in the cell of a type without one; gaps are transparent.

    spans: {type: display codes at the ends of the colours}.
    """
    width, side = strip_size(len(types), resolution)
    strip = np.zeros((side, width, 4), np.uint8)
    for place, kind in enumerate(types):
        left = place * (side + GAP)
        cell = strip[:, left : left + side]
        cell[..., 3] = 255
        if kind.name not in maps:
            cell[..., :3] = _marked(side)
            continue
        code = intrinsics.encode(kind, reduce_values(kind, maps[kind.name], side))
        if kind.name in spans:
            code = in_colours(code, spans[kind.name])
        pixels = to_rgb(code)
        scale = side // len(pixels)
        cell[..., :3] = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return strip


def _marked(side: int) -> NDArray[np.uint8]:
    """A cell [side, side, 3] of a map that is not there: stripes and a cross."""
    row, column = np.mgrid[:side, :side]
    paper, stripe, cross = (np.array(colour, np.uint8) for colour in (_PAPER, _STRIPE, _CROSS))
    cell = np.where(((row + column) // _STRIPES % 2 == 0)[..., None], paper, stripe)
    half = side // 6
    near = (abs(row - (side - 1) / 2) <= half) & (abs(column - (side - 1) / 2) <= half)
    cell[near & ((abs(row - column) <= 1) | (abs(row + column - side + 1) <= 1))] = cross
    return cell
