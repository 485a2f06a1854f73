"""Progress of long commands: bars on a terminal, plain lines in a log, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from sgi.engine.progress import SILENT, Progress, Stage

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_SECONDS = 5.0
"""Time between two lines of a stage where output is no terminal."""


@contextmanager
def progress(quiet: bool = False) -> Iterator[Progress]:
    """The `Progress` that fits where stderr goes."""
    if quiet:
        yield SILENT
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[note]}"),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            yield _Bars(bars)
    else:
        yield _Lines(sys.stderr)


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        yield _BarStage(self._bars, name, total, unit)

    def message(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


class _BarStage:
    def __init__(self, bars: Bars, name: str, total: int, unit: str) -> None:
        self._bars, self._task = bars, bars.add_task(name, total=total, unit=unit, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bars.update(self._task, advance=count, note=note)


class _Lines:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        yield _LineStage(self._out, name, total, unit)

    def message(self, text: str) -> None:
        print(text, file=self._out, flush=True)


class _LineStage:
    def __init__(self, out: TextIO, name: str, total: int, unit: str) -> None:
        self._out, self._name, self._total, self._unit = out, name, total, unit
        self._done, self._began = 0, time.monotonic()
        self._last = self._began

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last < LINE_SECONDS:
            return
        self._last = now
        rate = self._done / (now - self._began)
        left = (self._total - self._done) / rate if rate else 0.0
        words = [f"{self._name}: {self._done} of {self._total}", self._unit, f"({left:.0f} s left)", note]
        print(" ".join(filter(None, words)), file=self._out, flush=True)
