"""Frames of a walk: the maps of one image side by side, drawn as contact sheets draw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.display import PAPER, Span, in_colours, to_rgb

SMALLEST = 256
"""Side in pixels to which smaller maps are enlarged, unless a scale is given."""


def default_scale(resolution: int) -> int:
    """How often each pixel of a map is repeated along both axes, so that the map has a side of at least SMALLEST."""
    return max(1, SMALLEST // resolution)


@dataclass(frozen=True)
class Drawing:
    """How the maps of an image become one picture.

    types: of the maps, in the order in which they are drawn. resolution: side of a map. spans: {type: span} of the
    types that are drawn in colours; one span for all frames, so that a colour keeps its value. scale: pixels of the
    picture for each pixel of a map, along each axis. columns: maps in a row, None for all.
    """

    types: Sequence[Intrinsic]
    resolution: int
    spans: Mapping[str, Span]
    scale: int = 1
    columns: int | None = None

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of rows and columns of maps."""
        columns = min(self.columns or len(self.types), len(self.types))
        return -(-len(self.types) // columns), columns

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        rows, columns = self.grid
        return rows * self.resolution * self.scale, columns * self.resolution * self.scale

    def draw(self, maps: Mapping[str, NDArray[np.floating]]) -> NDArray[np.uint8]:
        """Pixels [H, W, 3] of the maps {type: values [C, R, R]}."""
        rows, columns = self.grid
        side = self.resolution
        picture = np.empty((rows * side, columns * side, 3), np.uint8)
        picture[:] = PAPER
        for i, kind in enumerate(self.types):
            code = intrinsics.encode(kind, maps[kind.name])
            if kind.name in self.spans:
                code = in_colours(code, self.spans[kind.name])
            top, left = i // columns * side, i % columns * side
            picture[top : top + side, left : left + side] = to_rgb(code)
        return picture.repeat(self.scale, axis=0).repeat(self.scale, axis=1)
