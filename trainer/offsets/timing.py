"""Estimates of the time of a fit on this machine, from a few pictures and steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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

    clock = _clock(generator)

    def steps(count: int) -> float:
        began = clock()
        fit(generator, pictures, kinds[0], replace(settings, steps=count))
        return clock() - began

    pictures, seconds = _timed_pool(generator, teacher, [kind.name for kind in kinds], sampling)
    if generator.mapping.w_avg.device.type != "cpu":
        steps(1)  # compiles kernels and captures graphs, once for all fits
    return Timing(seconds, max(steps(1 + _STEPS) - steps(1), 0.0) / _STEPS)


def time_picture(generator: Generator, teacher: Teacher, types: Sequence[str], sampling: Sampling) -> float:
    """Return the seconds to draw and render a picture and to compute its targets of `types`, from a small pool."""
    return _timed_pool(generator, teacher, types, sampling)[1]


def _timed_pool(generator: Generator, teacher: Teacher, types: Sequence[str], sampling: Sampling) -> tuple[Pool, float]:
    """A small pool, and its seconds per picture."""
    clock = _clock(generator)
    build_pool(generator, teacher, types, scoring_seeds(2), sampling)  # warms up
    began = clock()
    pool = build_pool(generator, teacher, types, scoring_seeds(_PICTURES), sampling)
    return pool, (clock() - began) / _PICTURES


def _clock(generator: Generator) -> Callable[[], float]:
    """The clock to time work with: on the CPU the processor time of this thread, which other load does not change.

    This thread takes part in all parallel work, so its time is the wall time on an idle machine. A GPU works while the
    thread waits, so its work is timed by the wall clock.
    """
    return time.thread_time if generator.mapping.w_avg.device.type == "cpu" else time.monotonic
