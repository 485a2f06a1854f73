"""How long a picture and a step of a fit take here, from a few of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from sgi.engine.generator import Generator
from sgi.trainer.fit import FitSettings, fit
from sgi.trainer.latents import scoring_seeds
from sgi.trainer.pool import Pool, Sampling, build_pool
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import told_type

_PICTURES, _STEPS = 32, 4


class Timing(NamedTuple):
    """Seconds."""

    picture: float  # drawn, rendered and told about by the teacher
    step: float


def time_fit(
    generator: Generator, teacher: Teacher, types: Sequence[str], sampling: Sampling, settings: FitSettings
) -> Timing:
    """Time a small pool of `types`, and some steps of a fit of the first of them; takes about ten steps' time."""

    def pool(count: int) -> tuple[Pool, float]:
        began = time.monotonic()
        made = build_pool(generator, teacher, types, scoring_seeds(count), sampling)
        return made, time.monotonic() - began

    def steps(count: int) -> float:
        began = time.monotonic()
        fit(generator, pictures, told_type(teacher, types[0]), replace(settings, steps=count))
        return time.monotonic() - began

    pool(2)  # warms up
    pictures, took = pool(_PICTURES)
    return Timing(took / _PICTURES, (steps(1 + _STEPS) - steps(1)) / _STEPS)
