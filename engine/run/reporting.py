"""The progress of a run: rate, bytes and limiting stage of the last seconds, and files that were set aside."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from sgi.engine.byte_size import byte_size
from sgi.engine.progress import Figures, Progress, Stage
from sgi.engine.run.set_aside import original_name

if TYPE_CHECKING:
    from sgi.engine.run.pipeline import Outcome

_NOTE_SECONDS = 0.1
"""Least time between two notes; every seed is counted, and most with the note before."""
_MARK_SECONDS = 1.0
_MARKS = 10


class RunReporter:
    """Reports the growth of an `Outcome` to a stage; call it after each change, and `end` after the last.

    The rate of its figures is that of the last ten seconds. item: seed or latent, the unit of the rate.
    """

    def __init__(self, outcome: Outcome, stage: Stage, progress: Progress, item: str = "seed") -> None:
        self._unit = f"{item}s"
        self._outcome = outcome
        self._stage = stage
        self._progress = progress
        self._reported = self._named = 0
        self._noted = -_NOTE_SECONDS
        self._note = ""
        self._figures: Figures = {}
        self._marks = deque([(0.0, 0, outcome.times.copy())], maxlen=_MARKS)  # seconds, seeds made, times

    def __call__(self) -> None:
        """Report what is new."""
        outcome = self._outcome
        if outcome.seconds - self._noted >= _NOTE_SECONDS:
            self._update()
        done = outcome.written + outcome.unfinished + outcome.found
        self._stage.advance(max(done - self._reported, 0), self._note, self._figures)  # shards can be given up
        self._reported = max(done, self._reported)
        for path in outcome.set_aside[self._named :]:
            name = original_name(path)
            self._progress.message(
                f"{name}: not the file of this run, or damaged; kept as {path.name} and written again"
            )
        self._named = len(outcome.set_aside)

    def end(self) -> None:
        """Report the last figures."""
        self._update()
        self()

    def _update(self) -> None:
        outcome = self._outcome
        self._noted = outcome.seconds
        then, before, times = self._marks[0]
        made = outcome.written + outcome.unfinished
        if outcome.seconds - self._marks[-1][0] >= _MARK_SECONDS:
            self._marks.append((outcome.seconds, made, outcome.times.copy()))
        if made <= before:
            return
        rate = (made - before) / max(outcome.seconds - then, 1e-9)
        limit = outcome.times.limit_since(times)
        self._figures = {
            "images_per_second": round(rate, 3), "limit": limit, "bytes": outcome.bytes, "written": outcome.written,
            "found": outcome.found,
        }  # fmt: skip
        words = [f"{rate:.1f} {self._unit}/s", byte_size(outcome.bytes), f"limit: {limit}" if limit else ""]
        self._note = ", ".join(filter(None, words))
