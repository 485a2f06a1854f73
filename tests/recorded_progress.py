"""A `Progress` that records what it receives, and can interrupt the work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sgi.engine.progress import Figures


class RecordedProgress:
    """Totals, counts and notes by name of the stage, the last figures of each, and all messages.

    Calls with a count of 0 are left out of counts and notes.

    stop_at: (name of a stage, units done) at which it raises KeyboardInterrupt.
    """

    def __init__(self, stop_at: tuple[str, int] | None = None) -> None:
        self.stop_at = stop_at
        self.totals: dict[str, int] = {}
        self.counts: dict[str, list[int]] = {}
        self.notes: dict[str, list[str]] = {}
        self.figures: dict[str, Figures] = {}
        self.messages: list[str] = []

    @property
    def done(self) -> dict[str, int]:
        """Units done by name of the stage."""
        return {name: sum(counts) for name, counts in self.counts.items()}

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[_Stage]:
        self.totals[name] = total
        self.counts.setdefault(name, [])
        self.notes.setdefault(name, [])
        yield _Stage(self, name)

    def message(self, text: str) -> None:
        self.messages.append(text)


class _Stage:
    def __init__(self, progress: RecordedProgress, name: str) -> None:
        self.progress, self.name = progress, name

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        self.progress.figures[self.name] = figures or self.progress.figures.get(self.name, {})
        if not count:
            return
        self.progress.counts[self.name].append(count)
        self.progress.notes[self.name].append(note)
        if self.progress.stop_at == (self.name, self.progress.done[self.name]):
            raise KeyboardInterrupt
