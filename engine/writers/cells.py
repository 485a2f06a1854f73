"""Maps as cells of a table: their colours and their size, for contact sheets and for notebooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.colour_map import viridis
from sgi.engine.writers.display import Span, in_colours, is_coloured, span_of, to_rgb

SMALLEST, LARGEST = 192, 256
"""Side of a cell in pixels: smaller maps are enlarged, larger ones reduced."""

Codes = Mapping[str, Mapping[str, np.ndarray]]
"""{row label: {column label: display codes [C, R, R] in [0, 1]}}; every row has the same columns."""


@dataclass(frozen=True)
class Cells:
    """Maps as they are drawn.

    pixels: {row label: {column label: [H, W, 3] uint8}}, at most LARGEST wide. limits: {row or column label: (least,
    largest value)} of the labels whose maps are drawn in colours.
    """

    pixels: Mapping[str, Mapping[str, NDArray[np.uint8]]]
    limits: Mapping[str, tuple[float, float]]


def draw_cells(codes: Codes, types: Mapping[str, Intrinsic]) -> Cells:
    """The maps of a table as pixels.

    C: 1 is grey, 3 RGB, 4 RGBA. types: {row or column label: type of its maps of one channel}. Maps of depth are drawn
    in colours that span the least to the largest value of that type in the table.
    """
    coloured = {label: kind for label, kind in types.items() if is_coloured(kind)}
    spans = _spans(codes, coloured)
    pixels: dict[str, dict[str, NDArray[np.uint8]]] = {}
    for label, row in codes.items():
        pixels[label] = {}
        for name, code in row.items():
            key = _key(label, name, code, coloured)
            shown = in_colours(code, spans[coloured[key].name]) if key else code
            pixels[label][name] = _reduced(to_rgb(shown))
    limits = {label: _limits(kind, spans[kind.name]) for label, kind in coloured.items() if kind.name in spans}
    return Cells(pixels, limits)


def cell_side(width: int) -> int:
    """The side of the cell of a map whose pixels are `width` wide: a whole multiple of it."""
    return width * max(1, SMALLEST // width)


def colour_bar(width: int, height: int) -> NDArray[np.uint8]:
    """Pixels [height, width, 3] of the colours of depth, from those of the least to those of the largest value."""
    return to_rgb(viridis(np.linspace(1, 0, width)[None, None].repeat(height, 1)))


def _key(row: str, column: str, code: np.ndarray, coloured: Mapping[str, Intrinsic]) -> str | None:
    """The label, of the row or else of the column, that names the type of a cell which is drawn in colours."""
    if len(code) != 1:
        return None  # a picture in the row of a type
    return row if row in coloured else column if column in coloured else None


def _spans(codes: Codes, coloured: Mapping[str, Intrinsic]) -> dict[str, Span]:
    """{name of a type: span of its cells}."""
    found: dict[str, list[np.ndarray]] = {}
    for label, row in codes.items():
        for name, code in row.items():
            if key := _key(label, name, code, coloured):
                found.setdefault(coloured[key].name, []).append(code)
    return {name: span_of(of_type) for name, of_type in found.items()}


def _limits(kind: Intrinsic, span: Span) -> tuple[float, float]:
    """The least and the largest value; the largest code is the least depth."""
    largest, least = (float(intrinsics.decode(kind, np.full((1, 1, 1), code))[0, 0, 0]) for code in span)
    return least, largest


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if pixels.shape[1] <= LARGEST:
        return pixels
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS))
