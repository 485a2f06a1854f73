"""Progress and results of a command as JSON lines on stdout, for programs; docs/formats.md describes the objects."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from sgi.cli.speed import Speed
from sgi.engine.progress import Figures, Stage

LINE_SECONDS = 1.0
"""Least time between two objects of a stage."""
_WINDOW_LINES = 10


def print_object(out: TextIO, event: str, facts: Mapping[str, Any]) -> None:
    """Print one object on one line, in ASCII; JSON escapes control characters."""
    out.write(json.dumps({"event": event, **facts}, default=str) + "\n")
    out.flush()


class JsonLines:
    """A progress display that prints an object for the start and the end of a stage, and every LINE_SECONDS of it.

    out: where to. clock: the time in seconds.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        """See `Progress.stage`."""
        stage = _JsonStage(self._out, self._clock, name, total, unit)
        stage.show()
        try:
            yield stage
        finally:
            stage.show()

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        print_object(self._out, "message", {"text": text})


class _JsonStage:
    def __init__(self, out: TextIO, clock: Callable[[], float], name: str, total: int, unit: str) -> None:
        self._out, self._clock = out, clock
        self._name, self._total, self._unit = name, total, unit
        self._done = 0
        self._note = ""
        self._figures: Figures = {}
        self._began = clock()
        self._speed = Speed(self._began, _WINDOW_LINES)

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        self._done += count
        self._note, self._figures = note, figures or self._figures
        if self._clock() - self._speed.last >= LINE_SECONDS:
            self.show()

    def show(self) -> None:
        now = self._clock()
        rate = self._speed.mark(now, self._done)
        facts = {
            "stage": self._name,
            "done": self._done,
            "total": self._total,
            "unit": self._unit,
            "seconds": round(now - self._began, 3),
            "rate": rate and round(rate, 3),
            "eta": rate and round(max(self._total - self._done, 0) / rate, 3),
            **({"note": self._note} if self._note and not self._figures else {}),
            **self._figures,
        }
        print_object(self._out, "progress", facts)
