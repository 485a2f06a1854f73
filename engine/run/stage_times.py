"""Where the time of a run goes, and which of its stages limits it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class StageTimes:
    """Seconds of the stages of a run. Few readings of the clock a seed; each field has one thread that adds to it.

    generate: the run loop waited for maps of the model. wait: it waited for files. encode, write: sums of all writers,
    which work beside each other.
    """

    generate: float = 0.0
    wait: float = 0.0
    encode: float = 0.0
    write: float = 0.0

    def generated(self, batches: Iterator[T]) -> Iterator[T]:
        """The batches of a model; the time until each is that of generation."""
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self.generate += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def waited(self, future: Future[T]) -> T:
        """The result of a future of the writers; the clock is read only if it is not done."""
        if not future.done():
            began = time.perf_counter()
            wait([future])
            self.wait += time.perf_counter() - began
        return future.result()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A context whose time is that of writing."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.write += time.perf_counter() - began

    def copy(self) -> StageTimes:
        """The same figures, which later ones do not change."""
        return StageTimes(self.generate, self.wait, self.encode, self.write)

    def limit_since(self, before: StageTimes) -> str:
        """The stage that limited the speed since `before`: generate, encode or write; empty where nothing was done."""
        if self == before:
            return ""
        if self.generate - before.generate >= self.wait - before.wait:
            return "generate"
        return "encode" if self.encode - before.encode >= self.write - before.write else "write"
