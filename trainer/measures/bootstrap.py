"""Confidence intervals of figures over held-out pictures, and the spread of a figure over fits.

Percentile bootstrap over pictures (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). All
figures use the same resamples, so comparisons are paired. A resample is a row of weights and its mean is a matrix
product: scipy.stats.bootstrap gathers the pictures of each resample, which takes ten times as long for statistics of
2048 numbers, and draws other resamples, which would change the published intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sgi.trainer.measures.by_type import Floats, Measure

RESAMPLES = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Drawn:
    """A figure with its resamples.

    value: the mean over fits. draws: [B] float64, that mean on resampled pictures. fits: the figure of each fit.
    """

    value: float
    draws: Floats
    fits: tuple[float, ...]

    def estimate(self) -> Estimate:
        """Return the figure with its interval."""
        return Estimate(self.value, *interval(self.draws), self.fits)


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    value: the mean over fits. low, high: its 95 % interval over pictures. fits: the figure of each fit.
    """

    value: float
    low: float
    high: float
    fits: tuple[float, ...] = ()

    def below(self, other: Estimate) -> bool:
        """Return whether the whole interval lies below that of the other."""
        return self.high < other.low

    def within(self, other: Estimate, higher_is_better: bool = False) -> bool:
        """Return whether the value is as good as that of the other or better."""
        return self.value >= other.value if higher_is_better else self.value <= other.value


@lru_cache
def weights(pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the share of each picture in each resample, [resamples, pictures] float64; each row sums to 1."""
    shares = np.full(pictures, 1 / pictures)
    return np.random.default_rng(seed).multinomial(pictures, shares, size=resamples) / pictures


def draw(measure: Measure, fits: Sequence[NDArray[np.floating]]) -> Drawn:
    """Return a measure of several fits on the same N pictures with its resamples; fits: statistics [N, K] of each."""
    values = [float(measure.figure(kept.mean(axis=0, dtype=np.float64))) for kept in fits]
    drawn = [measure.figure(weights(len(kept)) @ kept) for kept in fits]
    return Drawn(float(np.mean(values)), np.mean(drawn, axis=0), tuple(values))


def combine(of: Callable[[Floats, Floats], Floats], a: Drawn, b: Drawn) -> Drawn:
    """Return an elementwise function of two figures of the same pictures, such as their difference; without fits."""
    value = float(of(np.float64(a.value), np.float64(b.value)))
    return Drawn(value, of(a.draws, b.draws), ())


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """Return the percentile interval of resamples without those that are nan; not all may be nan."""
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)
