"""Progress of long commands: bars on a terminal, plain lines elsewhere, JSON lines with --json, none with --quiet."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from sgi.cli.json_progress import JsonLines
from sgi.cli.speed import Speed
from sgi.cli.terminal import new_console, printable
from sgi.engine.progress import SILENT, Figures, Progress, Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress

LINE_SECONDS = 5.0
"""Least time between two lines of a stage."""
SILENCE_SECONDS = 30.0
"""Longest time without a line: after it, a line states what still runs."""
BAR_SECONDS = 0.05
"""Least time between two updates of a bar."""
WINDOW_LINES = 6
"""Lines whose speed gives the time left: the finished part of a continued run passes at once and must not count."""


@contextmanager
def progress(quiet: bool = False, as_json: bool = False) -> Iterator[Progress]:
    """The progress display for stderr; as_json: JSON lines on stdout instead."""
    if quiet:
        yield SILENT
    elif as_json:
        yield JsonLines(sys.stdout)
    elif sys.stderr.isatty():
        with bars(new_console(stderr=True)) as shown:
            yield shown
    else:
        with Lines(sys.stderr) as lines:
            yield lines


@contextmanager
def bars(console: Console) -> Iterator[_Bars]:
    """A progress display that draws one bar for each running stage and removes it when the stage ends."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False), BarColumn(_width(console.width)), MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeRemainingColumn(), TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    # rich would send what is printed to stdout meanwhile to the console, that is to stderr.
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as display:
        yield _Bars(display)


def _width(columns: int) -> int:
    """Width of a bar that leaves room for the text beside it."""
    return min(40, max(8, columns - 75))


class _Bars:
    def __init__(self, display: RichProgress) -> None:
        self._display = display

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        bar = _Bar(self._display, printable(name), total, printable(unit))
        try:
            yield bar
        finally:
            bar.remove()

    def message(self, text: str) -> None:
        self._display.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


class _Bar:
    def __init__(self, display: RichProgress, name: str, total: int, unit: str) -> None:
        self._display = display
        self._task = display.add_task(name, total=total, unit=unit, note="")
        self._count, self._note = 0, ""
        self._shown = 0.0

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        self._count, self._note = self._count + count, note
        now = time.monotonic()
        if now - self._shown >= BAR_SECONDS:  # an update takes longer than the work on a small map
            self._shown = now
            self._update()

    def remove(self) -> None:
        """Draw the last state, which a stage shorter than the display's interval has not shown, and remove the bar."""
        self._update()
        self._display.refresh()
        self._display.remove_task(self._task)

    def _update(self) -> None:
        self._display.update(self._task, advance=self._count, note=printable(self._note))
        self._count = 0


class Lines:
    """A progress display of plain lines, such as `seeds: 500 of 1000, 0:00:04 left, 141.8 seeds/s`.

    A stage prints a line every LINE_SECONDS and, if it printed any, one at its end; a short stage prints none. As a
    context it also prints a line after SILENCE_SECONDS without one.
    out: where to. clock: the time in seconds.
    """

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._lock = threading.Lock()
        self._current = ""  # the last stage or message
        self._began = self._last = clock()
        self._closed = threading.Event()

    def __enter__(self) -> Lines:
        """Start the thread that ends a silence, which steps without progress of their own would cause."""
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        """End the thread."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(SILENCE_SECONDS / 4):
            self.check()

    def check(self) -> None:
        """Print a line if there was none for SILENCE_SECONDS."""
        now = self._clock()
        if now - self._last >= SILENCE_SECONDS:
            self._print(f"{self._current or 'working'}: still running after {_time(now - self._began)}")

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        """See `Progress.stage`."""
        outer = self._current, self._began
        self._start(name)
        stage = _LineStage(self._print, self._clock, name, total, unit)
        yield stage
        stage.end()
        self._current, self._began = outer

    def message(self, text: str) -> None:
        """See `Progress.message`."""
        self._start(text)
        self._print(text)

    def _start(self, text: str) -> None:
        self._current, self._began = text, self._clock()

    def _print(self, text: str) -> None:
        with self._lock:
            self._last = self._clock()
            print(printable(text), file=self._out, flush=True)


class _LineStage:
    def __init__(
        self, message: Callable[[str], None], clock: Callable[[], float], name: str, total: int, unit: str
    ) -> None:
        self._message, self._clock = message, clock
        self._name, self._total, self._unit = name, total, unit
        self._done = 0
        self._began = clock()
        self._speed = Speed(self._began, WINDOW_LINES)

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        self._done += count
        now = self._clock()
        if now - self._speed.last < LINE_SECONDS:
            return
        rate = self._speed.mark(now, self._done)
        words = [f"{self._count()} of {self._total} {self._unit}".rstrip()]
        if rate:
            words.append(f"{_time(max(self._total - self._done, 0) / rate)} left")
        self._message(", ".join(filter(None, [*words, note])))

    def end(self) -> None:
        if self._speed.last > self._began:
            self._message(f"{self._count()} {self._unit}".rstrip() + f" in {_time(self._clock() - self._began)}")

    def _count(self) -> str:
        return f"{self._name}: {self._done}"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
