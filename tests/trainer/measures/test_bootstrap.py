"""Bootstrap intervals: coverage, paired resamples, averages over fits, agreement with scipy."""

from __future__ import annotations

import numpy as np
import pytest

from sgi.trainer.measures.bootstrap import Estimate, combine, draw, interval, weights
from sgi.trainer.measures.by_type import Measure


def no_statistics(prediction, target):
    raise AssertionError("these tests make the statistics themselves")


MEAN = Measure("mean", no_statistics, lambda mean: mean[..., 0])
RATIO = Measure("ratio", no_statistics, lambda mean: mean[..., 0] / mean[..., 1])


def test_every_resample_has_as_many_pictures():
    shares = weights(40)
    assert shares.shape == (1000, 40)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert not (shares[0] == shares[1]).all()
    assert weights(40) is shares


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = np.random.default_rng(1).normal(3, 2, size=(400, 1))
    estimate = draw(MEAN, [values]).estimate()
    assert estimate.value == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, rel=0.08)
    assert estimate.low < estimate.value < estimate.high


def test_intervals_have_their_nominal_coverage():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        estimate = draw(RATIO, [rng.normal([1.0, 2.0], 0.3, size=(60, 2))]).estimate()
        hits += estimate.low <= 0.5 <= estimate.high
    assert 0.89 <= hits / 200 <= 0.99


def test_intervals_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(4).normal([1.0, 2.0], 0.3, size=(200, 2))
    estimate = draw(RATIO, [values]).estimate()
    reference = stats.bootstrap(
        (values[:, 0], values[:, 1]), lambda a, b, axis: a.mean(axis) / b.mean(axis), n_resamples=1000, paired=True,
        vectorized=True, method="percentile",
    ).confidence_interval  # fmt: skip
    width = reference.high - reference.low
    assert (estimate.low, estimate.high) == pytest.approx((reference.low, reference.high), abs=0.15 * width)


def test_fits_are_averaged_and_listed():
    one, other = np.full((10, 1), 1.0), np.full((10, 1), 2.0)
    estimate = draw(MEAN, [one, other]).estimate()
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((1.5, 1.5, 1.5))
    assert estimate.fits == (1.0, 2.0)


def test_comparisons_are_paired():
    """A figure and the same figure plus a constant differ by exactly that constant: they share resamples."""
    values = np.random.default_rng(3).normal(size=(50, 1))
    gap = combine(np.subtract, draw(MEAN, [values + 0.1]), draw(MEAN, [values])).estimate()
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.1, 0.1, 0.1))


def test_below_requires_disjoint_intervals():
    low, high = Estimate(1.0, 0.9, 1.1), Estimate(1.3, 1.05, 1.5)
    assert not low.below(high)
    assert Estimate(1.0, 0.9, 1.04).below(high)
    assert low.within(high)
    assert not low.within(high, higher_is_better=True)


def test_the_interval_ignores_nan():
    assert interval(np.array([np.nan, *np.linspace(0, 1, 101)])) == pytest.approx((0.025, 0.975))
