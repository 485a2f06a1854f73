"""Estimates of the time of a fit on this machine, from a few pictures and steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sgi.engine.generator import Generator
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.fit import FitSettings, fit
from sgi.trainer.offsets.pool import Pool, Sampling, build_pool
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.teachers import Teacher

_PICTURES, _STEPS = 32, 4
# The cost of a preconditioner in steps, measured at 64 px.
_PRECONDITIONER_STEPS = 80


class Timing(NamedTuple):
    """Measured times in seconds.

    picture: to sample and render one picture and to compute its targets. step: one step of a fit.
    """

    picture: float
    step: float

    def fit(self, steps: int) -> float:
        """Return the time of a fit of `steps` steps with its preconditioners."""
        preconditioners = sum(preconditioner.is_due(step, steps) for step in range(steps))
        return (steps + preconditioners * _PRECONDITIONER_STEPS) * self.step


def time_fit(
    generator: Generator, teacher: Teacher, kinds: Sequence[Intrinsic], sampling: Sampling, settings: FitSettings
) -> Timing:
    """Time a small pool of `kinds`, and a few steps of a fit of the first kind."""

    def pool(count: int) -> tuple[Pool, float]:
        began = time.monotonic()
        built = build_pool(generator, teacher, [kind.name for kind in kinds], scoring_seeds(count), sampling)
        return built, time.monotonic() - began

    def steps(count: int) -> float:
        began = time.monotonic()
        fit(generator, pictures, kinds[0], replace(settings, steps=count))
        return time.monotonic() - began

    pool(2)  # warms up
    pictures, seconds = pool(_PICTURES)
    return Timing(seconds / _PICTURES, (steps(1 + _STEPS) - steps(1)) / _STEPS)
