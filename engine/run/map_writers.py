"""Threads that encode and write the files of maps while the next batches are generated: `MapWriters`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.cores import available_cores
from sgi.engine.run.job import Job
from sgi.engine.run.map_files import Written, encode_maps, make_folder, write_maps
from sgi.engine.run.stage_times import StageTimes

_MOST_WRITERS = 8
_PIECE_BYTES = 2 << 20
"""Bytes of the maps that one call encodes: so many that calls are few, and so few that the cache of a core has them."""


class _Piece(NamedTuple):
    """Seeds whose files exist, and the seconds that it took to encode and to write them."""

    seeds: deque[Written]
    encode: float
    write: float


class MapWriters:
    """A thread pool for the files of seeds; a context, at whose end no thread is left.

    times: of the run, to which the seconds of encoding and writing are added. as_codes: maps are codes [N, H, W, C].
    most_waiting: number of pieces that may wait, so that generation does not run ahead of the disk.
    """

    def __init__(self, job: Job, artifact: Artifact, times: StageTimes, as_codes: bool) -> None:
        self.as_codes = as_codes
        self._job = job
        self._artifact = artifact
        self._times = times
        self._folders: set[Path] = set()
        self._waiting: deque[Future[_Piece]] = deque()
        threads = min(_MOST_WRITERS, available_cores())
        self.most_waiting = 2 * threads
        self._pool = ThreadPoolExecutor(threads, "sgi-write")

    def make_folders(self, seeds: list[int]) -> list[Path]:
        """Make the subfolders of seeds, on the calling thread, because several would rename each other's folders.

        Returns new names of what was in their place.
        """
        kept = []
        for folder in {path.parent for seed in seeds for path in self._job.files(seed).values()} - self._folders:
            self._folders.add(folder)
            kept.append(make_folder(self._job, folder))
        return [path for path in kept if path]

    def submit(self, seeds: list[int], maps: dict[str, np.ndarray]) -> None:
        """Let the maps of N seeds be encoded and written, {type: [N, C, H, W] float32}, a few seeds by each thread."""
        count = max(1, _PIECE_BYTES // sum(stack[0].nbytes for stack in maps.values()))
        for first in range(0, len(seeds), count):
            rows = slice(first, first + count)
            self._waiting.append(
                self._pool.submit(self._make, seeds[rows], {name: stack[rows] for name, stack in maps.items()})
            )

    def written(self, most: int) -> Iterator[Written]:
        """Seeds whose files exist, in the order of `submit`, until at most `most` pieces wait.

        Raises the error of a seed. A caller that stops early gets the seeds that are left from the next call.
        """
        while len(self._waiting) > most:
            piece = self._times.waited(self._waiting[0])
            while piece.seeds:
                yield piece.seeds[0]
                piece.seeds.popleft()
            self._times.encode += piece.encode
            self._times.write += piece.write
            self._waiting.popleft()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _make(self, seeds: list[int], maps: dict[str, np.ndarray]) -> _Piece:
        began = time.perf_counter()
        encoded = encode_maps(self._job, self._artifact, maps, self.as_codes)
        done = time.perf_counter()
        written = deque(write_maps(self._job, seed, files) for seed, files in zip(seeds, encoded, strict=True))
        return _Piece(written, done - began, time.perf_counter() - done)
