"""Progress of long work: library functions take a `Progress`, and the command line displays it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Figures = Mapping[str, float | int | str]
"""Name -> figure of a stage, for programs that read the progress."""


class Stage(Protocol):
    """One stage of the work while it runs."""

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        """Report that `count` more units are done.

        note: text beside the bar, such as the loss. figures: the same for programs; None are those before.
        """
        ...


class Progress(Protocol):
    """A receiver of progress."""

    def stage(self, name: str, total: int, unit: str = "") -> AbstractContextManager[Stage]:
        """Start a stage of `total` units, which ends with the context."""
        ...

    def message(self, text: str) -> None:
        """Report one line of text, such as the expected time."""
        ...


class _Silent:
    @contextmanager
    def stage(self, name: str, total: int, unit: str = "") -> Iterator[Stage]:
        yield self

    def message(self, text: str) -> None:
        pass

    def advance(self, count: int = 1, note: str = "", figures: Figures | None = None) -> None:
        pass


SILENT: Progress = _Silent()
"""Reports nothing: the default of library functions."""
