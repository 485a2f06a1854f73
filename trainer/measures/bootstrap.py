"""Intervals: what a figure might have been on other held-out pictures, and how much it varies from fit to fit.

Percentile bootstrap over pictures (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13). All
figures resample the same pictures, so a comparison of two of them is paired.
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
    """A figure with its resamples: value, the mean over fits; draws [B], that mean on resampled pictures; fits."""

    value: float
    draws: Floats
    fits: tuple[float, ...]

    def estimate(self) -> Estimate:
        """The figure with its interval."""
        return Estimate(self.value, *interval(self.draws), self.fits)


@dataclass(frozen=True)
class Estimate:
    """A figure: value, the mean over fits; low, high: its 95 % interval over pictures; fits: each fit's own value."""

    value: float
    low: float
    high: float
    fits: tuple[float, ...] = ()

    def below(self, other: Estimate) -> bool:
        """Whether the whole interval lies below that of the other."""
        return self.high < other.low

    def within(self, other: Estimate, higher_is_better: bool = False) -> bool:
        """Whether this is as good as the other, or better: value against value."""
        return self.value >= other.value if higher_is_better else self.value <= other.value


@lru_cache
def weights(pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """How often each resample holds each picture over their number, [resamples, pictures]; each row sums to 1."""
    shares = np.full(pictures, 1 / pictures)
    return np.random.default_rng(seed).multinomial(pictures, shares, size=resamples) / pictures


def draw(measure: Measure, fits: Sequence[NDArray[np.floating]]) -> Drawn:
    """A measure of several fits of the same pictures; each fit's statistics are [N, K]."""
    values = [float(measure.figure(kept.mean(axis=0, dtype=np.float64))) for kept in fits]
    drawn = [measure.figure(weights(len(kept)) @ kept) for kept in fits]
    return Drawn(float(np.mean(values)), np.mean(drawn, axis=0), tuple(values))


def combine(of: Callable[[Floats, Floats], Floats], a: Drawn, b: Drawn) -> Drawn:
    """A function of two figures of the same pictures, elementwise, such as their difference; without fits."""
    value = float(of(np.float64(a.value), np.float64(b.value)))
    return Drawn(value, of(a.draws, b.draws), ())


def interval(draws: Floats, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resamples, which must not all be nan."""
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(low), float(high)
