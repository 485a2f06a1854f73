"""Latents of batches, drawn on another thread while earlier batches are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")
Drawn = TypeVar("Drawn")
AHEAD = 2
"""Batches that are drawn before they are asked for."""


def draw_ahead(draw: Callable[[Batch], Drawn], batches: Iterable[Batch]) -> Generator[Drawn, None, None]:
    """`draw` of each batch, in order, called on one other thread.

    `batches` is read on the calling thread, up to AHEAD batches before the one that is returned. An exception of
    `batches` is raised after what was drawn for the batches before it.
    """
    with ThreadPoolExecutor(1, "sgi-latents") as pool:
        waiting: deque[Future[Drawn]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(draw, batch))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
        except Exception:
            yield from _results(waiting)
            raise
        yield from _results(waiting)


def _results(waiting: deque[Future[Drawn]]) -> Iterator[Drawn]:
    while waiting:
        yield waiting.popleft().result()
