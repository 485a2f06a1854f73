"""Estimates of time: other load, which makes this process wait, does not change them."""

from __future__ import annotations

import time

from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.timing import time_picture


class WaitingTeacher:
    """A teacher whose process waits for the processor, as beside other load."""

    def __init__(self, teacher):
        self._teacher = teacher

    def __getattr__(self, name):
        return getattr(self._teacher, name)

    def __call__(self, image, types):
        time.sleep(0.5)
        return self._teacher(image, types)


def test_waiting_for_the_processor_does_not_change_an_estimate(generator, teacher):
    began = time.monotonic()
    seconds = time_picture(generator, WaitingTeacher(teacher), ["depth"], Sampling())
    assert time.monotonic() - began > 1
    assert 0 < seconds < 0.5 / 32
