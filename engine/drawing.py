"""Latents of batches, drawn on another thread while earlier batches are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np

AHEAD = 2
"""Batches that are drawn before they are asked for."""


Batch = TypeVar("Batch")


def draw_ahead(batches: Iterable[Batch], draw: Callable[[Batch], np.ndarray]) -> Generator[np.ndarray, None, None]:
    """The latents `draw(batch)` of each batch of seeds, in order.

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


def _results(waiting: deque[Future[np.ndarray]]) -> Iterator[np.ndarray]:
    while waiting:
        yield waiting.popleft().result()
