"""How long a picture and a step of a fit take here, from a few of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sgi.engine.generator import Generator
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.offsets import curvature
from sgi.trainer.offsets.fit import FitSettings, fit
from sgi.trainer.offsets.pool import Pool, Sampling, build_pool
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.teachers import Teacher

_PICTURES, _STEPS = 32, 4
# What a change of coordinates costs; measured at 64 px.
_MOVE_STEPS = 80


class Timing(NamedTuple):
    """Seconds."""

    picture: float  # drawn, rendered and told about by the teacher
    step: float

    def fit(self, steps: int) -> float:
        """Of a fit of so many steps, its changes of coordinates included."""
        moves = sum(curvature.moves_at(step, steps) for step in range(steps))
        return (steps + moves * _MOVE_STEPS) * self.step


def time_fit(
    generator: Generator, teacher: Teacher, kinds: Sequence[Intrinsic], sampling: Sampling, settings: FitSettings
) -> Timing:
    """Time a small pool of `kinds`, and some steps of a fit of the first of them; takes about ten steps' time."""

    def pool(count: int) -> tuple[Pool, float]:
        began = time.monotonic()
        made = build_pool(generator, teacher, [kind.name for kind in kinds], scoring_seeds(count), sampling)
        return made, time.monotonic() - began

    def steps(count: int) -> float:
        began = time.monotonic()
        fit(generator, pictures, kinds[0], replace(settings, steps=count))
        return time.monotonic() - began

    pool(2)  # warms up
    pictures, took = pool(_PICTURES)
    return Timing(took / _PICTURES, (steps(1 + _STEPS) - steps(1)) / _STEPS)
