"""Strips of items, and maps in fewer pixels."""

from __future__ import annotations

import numpy as np
import pytest
from shard_cases import KINDS
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.decoding import srgb_decode, srgb_encode
from sgi.engine.view.reduction import reduce_values
from sgi.engine.view.strips import GAP, cell_side, draw_strip, strip_size
from sgi.engine.writers.display import in_colours, to_rgb


def random_map(kind, side, seed=0):
    share = np.random.RandomState(seed).rand(kind.channels, side, side)
    if kind.decoding == "palette":
        share = np.rint(share * kind.high) / kind.high
    values = kind.low + (kind.high - kind.low) * share
    if kind.decoding == "unit":
        values /= np.sqrt((values**2).sum(axis=0))
    return values.astype(np.float32)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_reduced_values_are_values_of_the_type(kind):
    values = random_map(kind, 32)
    assert reduce_values(kind, values, 32) is values
    for side in (16, 12):
        found = reduce_values(kind, values, side)
        assert (found.shape, found.dtype) == ((kind.channels, side, side), np.float32)
        assert found.min() >= kind.low - CLOSED_FORM
        assert found.max() <= kind.high + CLOSED_FORM
    halves = values.reshape(kind.channels, 16, 2, 16, 2)
    found = reduce_values(kind, values, 16)
    if kind.decoding == "palette":
        assert set(np.unique(found)) <= set(np.unique(values))
        np.testing.assert_array_equal(found, halves[:, :, 1, :, 1])
    elif kind.decoding == "unit":
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-5)
        mean = halves.mean(axis=(2, 4))
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean, axis=0), atol=1e-4)
    elif kind.name == "image":
        np.testing.assert_allclose(found, srgb_encode(srgb_decode(halves).mean(axis=(2, 4))), atol=1e-5)
    else:
        np.testing.assert_allclose(found, halves.mean(axis=(2, 4)), rtol=1e-5, atol=1e-5)


def test_a_side_that_does_not_divide_the_other_weighs_pixels_by_area():
    kind = intrinsics.get("depth")
    values = np.arange(9, dtype=np.float32).reshape(1, 3, 3) / np.float32(9)
    found = reduce_values(kind, values, 2)
    upper = (values[0, 0, 0] + (values[0, 0, 1] + values[0, 1, 0]) / 2 + values[0, 1, 1] / 4) / 2.25
    assert found[0, 0, 0] == pytest.approx(upper)
    assert found.mean() == pytest.approx(values.mean())


def test_cells_have_a_height_for_every_resolution():
    sides = {resolution: cell_side(resolution) for resolution in (4, 16, 64, 100, 128, 256, 1024)}
    assert sides == {4: 64, 16: 64, 64: 64, 100: 100, 128: 128, 256: 128, 1024: 128}


@pytest.mark.parametrize("side", [16, 64, 256])
def test_strips_draw_maps_and_mark_those_that_are_missing(side):
    maps = {kind.name: random_map(kind, side) for kind in KINDS}
    spans = {"depth": (0.2, 0.9)}
    left = {name: values for name, values in maps.items() if name != "albedo"}
    strip = draw_strip(KINDS, side, left, spans)
    cell = cell_side(side)
    assert strip.shape[1::-1] == strip_size(len(KINDS), side)
    for place, kind in enumerate(KINDS):
        found = strip[:, place * (cell + GAP) :][:, :cell]
        assert (found[..., 3] == 255).all()
        if kind.name == "albedo":
            assert len(np.unique(found.reshape(-1, 4), axis=0)) == 3  # stripes and a cross
            continue
        code = intrinsics.encode(kind, reduce_values(kind, maps[kind.name], cell))
        code = in_colours(code, spans[kind.name]) if kind.name in spans else code
        pixels = to_rgb(code)
        scale = cell // len(pixels)
        np.testing.assert_array_equal(found[::scale, ::scale, :3], pixels)
    assert (strip[:, cell : cell + GAP, 3] == 0).all()
