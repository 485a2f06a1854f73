"""Curves through keys: they meet the keys, are smooth, and close where they are asked to."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import CLOSED_FORM

from sgi.engine.walk.path import arcs, key_frames, spline

KEYS = np.random.RandomState(0).randn(5, 3, 4)


@pytest.mark.parametrize(
    ("count", "frames", "loop", "expected"),
    [
        (3, 241, False, [0, 120, 240]),
        (3, 240, False, [0, 120, 239]),
        (3, 240, True, [0, 80, 160]),
        (4, 4, False, [0, 1, 2, 3]),
        (4, 4, True, [0, 1, 2, 3]),
        (2, 2, False, [0, 1]),
        (2, 5, True, [0, 3]),
    ],
)
def test_every_key_has_a_frame_of_its_own(count, frames, loop, expected):
    assert key_frames(count, frames, loop).tolist() == expected


@pytest.mark.parametrize("loop", [False, True])
def test_key_frames_ascend_for_every_length(loop):
    for count in range(2, 9):
        for frames in range(count, 40):
            places = key_frames(count, frames, loop)
            assert (np.diff(places) >= 1).all()
            assert places[0] == 0
            assert places[-1] == frames - 1 if not loop else places[-1] < frames


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("curve", [spline, arcs])
def test_a_curve_meets_its_keys(curve, loop):
    keys = KEYS if curve is spline else KEYS[:, 0]
    places = key_frames(len(keys), 37, loop)
    found = curve(keys, places, 37 if loop else None)(places)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, keys.astype(np.float32))


@pytest.mark.parametrize("curve", [spline, arcs])
def test_two_keys_that_are_equal_give_one_latent(curve):
    keys = np.repeat(KEYS[:1, 0], 2, axis=0)
    for period in (None, 9):
        found = curve(keys, np.array([0, 5]), period)(np.arange(9 if period else 6))
        np.testing.assert_allclose(found, np.broadcast_to(keys[:1], found.shape), atol=CLOSED_FORM)


def test_a_natural_spline_through_points_of_a_line_is_the_line():
    places = np.array([0, 3, 4, 10])
    found = spline(places[:, None] * 2.0 - 1, places)(np.arange(11))
    np.testing.assert_allclose(found[:, 0], np.arange(11) * 2.0 - 1, atol=CLOSED_FORM)


def test_splines_are_those_of_scipy():
    interpolate = pytest.importorskip("scipy.interpolate")
    places = key_frames(5, 40, loop=False)
    expected = interpolate.CubicSpline(places, KEYS, bc_type="natural")(np.arange(40))
    np.testing.assert_allclose(spline(KEYS, places)(np.arange(40)), expected, atol=CLOSED_FORM)
    for count in (2, 3, 5):
        places = key_frames(count, 40, loop=True)
        closed = np.concatenate([KEYS[:count], KEYS[:1]])
        expected = interpolate.CubicSpline(np.append(places, 40), closed, bc_type="periodic")(np.arange(40))
        np.testing.assert_allclose(spline(KEYS[:count], places, 40)(np.arange(40)), expected, atol=CLOSED_FORM)


def test_arcs_keep_the_length_and_have_constant_speed():
    keys = KEYS[:, 0] / np.linalg.norm(KEYS[:, 0], axis=1, keepdims=True)
    found = arcs(keys, np.array([0, 10, 20, 30, 40]), 50)(np.arange(50))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=CLOSED_FORM)
    steps = np.linalg.norm(np.diff(np.concatenate([found, found[:1]]), axis=0), axis=1).reshape(5, 10)
    np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1], steps.shape), atol=CLOSED_FORM)


def test_arcs_between_keys_of_one_direction_are_straight():
    np.testing.assert_allclose(arcs(np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([0, 2]))(np.arange(3))[1], [2, 0])
    np.testing.assert_allclose(
        arcs(np.array([[1.0], [-1.0]]), np.array([0, 4]))(np.arange(5))[:, 0], [1, 0.5, 0, -0.5, -1]
    )
