"""A receiver of progress that records what it gets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class RecordedProgress:
    """Records stages as (name, total, units done), and all notes and messages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.notes: list[str] = []
        self.messages: list[str] = []

    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[RecordedProgress]:
        self.stages.append((name, total, 0))
        yield self

    def advance(self, count: int = 1, note: str = "") -> None:
        name, total, done = self.stages[-1]
        self.stages[-1] = (name, total, done + count)
        self.notes.append(note)

    def message(self, text: str) -> None:
        self.messages.append(text)
