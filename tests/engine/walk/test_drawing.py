"""The layout of a frame: cells in the order of the types, in the codes of map files and the colours of sheets."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from sheet_colours import FAR, NEAR
from tiny_models import ALL_KINDS, SIDE

from sgi.engine import intrinsics
from sgi.engine.walk.drawing import Drawing, default_scale
from sgi.engine.writers import get_format
from sgi.engine.writers.display import PAPER, is_coloured

KINDS = [intrinsics.get(kind) for kind in ALL_KINDS]


def values(kind: intrinsics.Intrinsic) -> np.ndarray:
    """A ramp over the range of a type."""
    ramp = np.linspace(kind.low, kind.high, SIDE * SIDE, dtype=np.float32).reshape(1, SIDE, SIDE)
    return ramp.repeat(kind.channels, axis=0)


MAPS = {kind.name: values(kind) for kind in KINDS}


def cell(picture: np.ndarray, row: int, column: int, side: int = SIDE) -> np.ndarray:
    return picture[row * side : (row + 1) * side, column * side : (column + 1) * side]


def png_pixels(kind: intrinsics.Intrinsic) -> np.ndarray:
    """The pixels of the type's PNG file, as RGB."""
    with Image.open(io.BytesIO(get_format("png").encode(kind, MAPS[kind.name]))) as picture:
        return np.asarray(picture.convert("RGB"))


def test_the_cells_of_8_bit_types_are_the_pixels_of_their_png_files():
    picture = Drawing(KINDS, SIDE, {}).draw(MAPS)
    assert picture.dtype == np.uint8
    assert picture.shape == (SIDE, SIDE * len(KINDS), 3)
    checked = [i for i, kind in enumerate(KINDS) if kind.png_bits == 8]
    assert len(checked) > 3
    for i in checked:
        np.testing.assert_array_equal(cell(picture, 0, i), png_pixels(KINDS[i]))


def test_depth_is_drawn_in_colours_over_the_span():
    depth = intrinsics.get("depth")
    assert is_coloured(depth)
    near, far = np.full((1, SIDE, SIDE), 0.2), np.full((1, SIDE, SIDE), 0.6)
    codes = [float(intrinsics.encode(depth, value).mean()) for value in (near, far)]
    drawing = Drawing([depth], SIDE, {"depth": (min(codes), max(codes))})
    for value, colour in ((near, NEAR), (far, FAR), (far * 2, FAR)):  # what is beyond the span has its last colour
        found = drawing.draw({"depth": value.clip(0, 1)})
        assert np.abs(found.astype(int) - colour).max() <= 1


@pytest.mark.parametrize(
    ("columns", "grid", "places"),
    [(None, (1, 5), [(0, 4)]), (9, (1, 5), [(0, 4)]), (2, (3, 2), [(0, 1), (2, 0)]), (1, (5, 1), [(4, 0)])],
)
def test_columns_wrap_and_cells_that_are_left_are_paper(columns, grid, places):
    kinds = [kind for kind in KINDS if kind.png_bits == 8][:5]
    drawing = Drawing(kinds, SIDE, {}, columns=columns)
    picture = drawing.draw(MAPS)
    assert drawing.grid == grid
    assert picture.shape == (*drawing.size, 3)
    for row, column in places:
        np.testing.assert_array_equal(cell(picture, row, column), png_pixels(kinds[row * grid[1] + column]))
    if columns == 2:
        assert (cell(picture, 2, 1) == PAPER).all()


def test_scale_repeats_pixels():
    plain, large = (Drawing(KINDS[:2], SIDE, {}, scale=scale) for scale in (1, 3))
    assert large.size == (SIDE * 3, SIDE * 6)
    for row in range(3):
        np.testing.assert_array_equal(large.draw(MAPS)[row::3, ::3], plain.draw(MAPS))


def test_small_maps_are_enlarged_by_default():
    assert [default_scale(side) for side in (16, 64, 128, 256, 1024)] == [16, 4, 2, 1, 1]
