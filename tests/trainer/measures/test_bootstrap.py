"""Intervals that cover, resamples that are paired, and figures that agree with the plain ones."""

from __future__ import annotations

import numpy as np
import pytest

from sgi.trainer.measures.bootstrap import Estimate, combine, draw, interval, weights
from sgi.trainer.measures.by_type import Measure

MEAN = Measure("mean", None, lambda mean: mean[..., 0])
RATIO = Measure("ratio", None, lambda mean: mean[..., 0] / mean[..., 1])


def test_every_resample_has_as_many_pictures():
    shares = weights(40)
    assert shares.shape == (1000, 40)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert not (shares[0] == shares[1]).all()
    assert weights(40) is shares


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(3, 2, size=(400, 1))
    target = draw(MEAN, [values]).estimate()
    assert target.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (target.high - target.low) / 2 == pytest.approx(half, rel=0.08)
    assert target.low < target.value < target.high


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        target = draw(RATIO, [rng.normal([1.0, 2.0], 0.3, size=(60, 2))]).estimate()
        hits += target.low <= 0.5 <= target.high
    assert 0.89 <= hits / 200 <= 0.99


def test_fits_are_averaged_and_kept():
    one, other = np.full((10, 1), 1.0), np.full((10, 1), 2.0)
    target = draw(MEAN, [one, other]).estimate()
    assert (target.value, target.low, target.high) == pytest.approx((1.5, 1.5, 1.5))
    assert target.fits == (1.0, 2.0)


def test_comparisons_are_paired():
    """A figure that is another plus a constant differs from it by exactly that, however both vary."""
    values = np.random.default_rng(3).normal(size=(50, 1))
    gap = combine(np.subtract, draw(MEAN, [values + 0.1]), draw(MEAN, [values])).estimate()
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_below_asks_for_intervals_that_do_not_overlap():
    low, high = Estimate(1.0, 0.9, 1.1), Estimate(1.3, 1.05, 1.5)
    assert not low.below(high)
    assert Estimate(1.0, 0.9, 1.04).below(high)
    assert low.within(high)
    assert not low.within(high, higher_is_better=True)


def test_interval_leaves_out_what_is_not_a_number():
    assert interval(np.array([np.nan, *np.linspace(0, 1, 101)])) == pytest.approx((0.025, 0.975))
