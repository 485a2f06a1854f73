"""Latents of batches of seeds, drawn on another thread while earlier batches are computed."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from sgi.engine.seeds import latents

AHEAD = 2
"""Batches that are drawn before they are asked for."""


def draw_ahead(batches: Iterable[Sequence[int]], z_dim: int) -> Generator[np.ndarray, None, None]:
    """Latents z [N, z_dim] float32 of each batch of N seeds, in order; the values are those of `seeds.latents`.

    `batches` is read on the calling thread, up to AHEAD batches before the one that is returned. An exception of
    `batches` is raised after the latents of the batches before it.
    """
    with ThreadPoolExecutor(1, "sgi-latents") as pool:
        waiting: deque[Future[np.ndarray]] = deque()
        try:
            for seeds in batches:
                waiting.append(pool.submit(_draw, seeds, z_dim))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
        except Exception:
            yield from _results(waiting)
            raise
        yield from _results(waiting)


def _draw(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    return latents(seeds, z_dim).astype(np.float32)


def _results(waiting: deque[Future[np.ndarray]]) -> Iterator[np.ndarray]:
    while waiting:
        yield waiting.popleft().result()
