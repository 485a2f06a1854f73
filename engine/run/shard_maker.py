"""Making of shards: computes the maps of their seeds and writes them, in three stages that overlap.

Batches are cut from the seeds of one shard and padded to one size, so that the bytes of a shard depend on its seeds and
the settings only, not on the machine that made it or on the other shards. The stages have bounded queues between them:
the calling thread generates, a thread pool encodes batches, and one thread writes them in order. A full shard is moved
to its place in the store; where that is an upload, the next shards are made in the meantime. The
caller records in a manifest what is finished.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any

import numpy as np

from sgi.engine.api import Engine
from sgi.engine.backends import Coding
from sgi.engine.cores import available_cores
from sgi.engine.drawing import draw_ahead
from sgi.engine.files import temporary_path
from sgi.engine.finite import NotFiniteError
from sgi.engine.rows import pad_rows
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome, with_number
from sgi.engine.run.run_latents import RunLatents
from sgi.engine.run.shard_files import (
    SHARD_LINES,
    ShardLine,
    bytes_of,
    files_of,
    hold,
    remove,
    settings_of,
    sha256_of,
    shard_name,
)
from sgi.engine.run.stores.store import Store
from sgi.engine.seeds import Seeds
from sgi.engine.shards.shard_format import CODES, ShardWriter, stored

_MOST_ENCODERS = 16
Finished = Callable[[ShardLine, Path | None], None]
"""Called with the line of each shard that is in its place, and what was set aside for it."""


@dataclass(frozen=True)
class _Shard:
    """A shard that is being made: its number, its seeds, its temporary path, its writer, and what holds the path."""

    number: int
    seeds: Seeds
    path: Path
    writer: ShardWriter
    held: int


class ShardMaker:
    """Makes shards of a job in its folder, and moves them to their places.

    store: where finished shards are; its folder is that of the job. outcome: its seeds written and unfinished, files,
    bytes, seconds and times are updated. finished: called for each shard when it is in its place, on one of several
    threads, by one at a time. replaces: whether what has the name of a shard of this number is a shard of this run that
    the new one replaces; other files are set aside. progress: called on the calling thread after each update; what it
    raises ends `make`. encoders: threads that encode, None for one for each core.
    """

    def __init__(
        self,
        engine: Engine,
        job: Job,
        store: Store,
        latents: RunLatents,
        outcome: Outcome,
        finished: Finished,
        replaces: Callable[[int], bool] = lambda number: False,
        progress: Callable[[], None] = lambda: None,
        encoders: int | None = None,
    ) -> None:
        form = job.record.shard_format
        assert form is not None
        self.form = form
        self.engine = engine
        self.job = job
        self.store = store
        self.latents = latents
        self.outcome = outcome
        self.finished = finished
        self.replaces = replaces
        self.progress = progress
        self.settings = settings_of(job.record, engine.artifact.resolution)
        self.kinds = {name: engine.artifact.output(name) for name in job.record.types}
        # Shards of codes are made from codes where the backend computes them, so that no values are copied.
        self.as_codes = isinstance(engine.backend, Coding) and self.settings.dtype == CODES
        self.encoders = min(_MOST_ENCODERS, encoders or available_cores())
        self.started = time.perf_counter()
        self.generating: deque[tuple[int, Seeds, Seeds]] = deque()  # number and seeds of a shard, and a batch of it
        self.making: dict[int, _Shard] = {}
        self.waiting: deque[tuple[int, Future[Future[int] | None]]] = deque()  # seeds of a batch
        self.placing: deque[Future[int]] = deque()  # seeds of shards that are in their places then
        self.telling = Lock()
        self.slots = BoundedSemaphore(max(store.uploads, 1))
        self.failed = False
        self.unplaced = False

    def make(self, numbers: Iterable[int]) -> None:
        """Make the shards of these numbers, taken one by one on the calling thread; can be called again.

        After any error and after KeyboardInterrupt, no shard is incomplete. Raises OSError, NotFiniteError, which names
        the seed, and what `finished` raises.
        """
        self.failed = self.unplaced = False
        with (
            ThreadPoolExecutor(self.encoders, "sgi-encode") as encoding,
            ThreadPoolExecutor(1, "sgi-write") as writing,
            ThreadPoolExecutor(max(self.store.uploads, 1), "sgi-place") as placing,
        ):
            try:
                stream = self.latents.stream(self.engine, self._batches(numbers), self.job.record, self.as_codes)
                for maps in self.outcome.times.generated(stream):
                    self._submit(encoding, writing, placing, maps)
                    self._wait(down_to=self.encoders + 1)
                self._wait(down_to=0)
            except KeyboardInterrupt:
                self.store.stop_retrying()
                self._wait(down_to=0)
                raise
            except NotFiniteError as error:
                self._wait(down_to=0)
                raise with_number(error, self.job.record, self.generating[0][2]) from None
            finally:
                self.failed = True  # a batch that is not written yet must not be, after one that failed
                encoding.shutdown(cancel_futures=True)
                writing.shutdown(cancel_futures=True)
                placing.shutdown()  # shards that are complete are kept
                self._abandon()

    def report(self) -> None:
        """Report the outcome, with the seconds since the maker was made."""
        self.outcome.seconds = time.perf_counter() - self.started
        self.progress()

    def _batches(self, numbers: Iterable[int]) -> Iterator[np.ndarray]:
        """Latents [batch, ...] of the batches of shards, drawn ahead."""
        batch = self.engine.batch
        for latent in draw_ahead(self.latents.rows, self._parts(numbers)):
            yield pad_rows(latent, batch - len(latent))

    def _parts(self, numbers: Iterable[int]) -> Iterator[Seeds]:
        """The seeds of the batches of shards; notes them in `generating`."""
        for number in numbers:
            seeds = self.job.shard_seeds(number)
            for start in range(0, len(seeds), self.engine.batch):
                part = seeds[start : start + self.engine.batch]
                self.generating.append((number, seeds, part))
                yield part

    def _submit(
        self,
        encoding: ThreadPoolExecutor,
        writing: ThreadPoolExecutor,
        placing: ThreadPoolExecutor,
        maps: dict[str, np.ndarray],
    ) -> None:
        number, seeds, part = self.generating.popleft()
        shard = self.making.get(number) or self._open(number, seeds)
        encoded = encoding.submit(self._encode, shard, part, maps)
        is_last = part[-1] == seeds[-1]
        self.waiting.append((len(part), writing.submit(self._write, shard, encoded, placing if is_last else None)))

    def _open(self, number: int, seeds: Seeds) -> _Shard:
        path = temporary_path(self.job.outdir / shard_name(self.job.record, number))
        try:
            writer = self.form.open(path, list(self.kinds.values()), seeds, self.settings)
        except BaseException:
            remove(path)
            raise
        shard = self.making[number] = _Shard(number, seeds, path, writer, hold(path))
        return shard

    def _encode(self, shard: _Shard, part: Seeds, maps: dict[str, np.ndarray]) -> tuple[Any, float]:
        """A batch as the writer takes it, and the seconds that this took."""
        began = time.perf_counter()
        arrays = {name: np.ascontiguousarray(maps[name][: len(part)]) for name in self.kinds}
        if not self.as_codes:
            arrays = {name: stored(self.kinds[name], stack, self.settings.dtype) for name, stack in arrays.items()}
        encoded = shard.writer.encode(part, arrays)
        return encoded, time.perf_counter() - began

    def _write(
        self, shard: _Shard, encoded: Future[tuple[Any, float]], placing: ThreadPoolExecutor | None
    ) -> Future[int] | None:
        """Append a batch, on the writing thread; returns the future of the shard if the batch is its last.

        placing: what moves the shard to its place then; None for other batches.
        """
        if self.failed:
            return None
        try:
            batch, seconds = encoded.result()
            self.outcome.times.encode += seconds
            with self.outcome.times.writing():
                shard.writer.write(batch)
                if placing is None:
                    return None
                shard.writer.close()
                self.slots.acquire()
                future = placing.submit(self._place, shard)
                if not self.store.uploads:
                    wait([future])
                return future
        except BaseException:
            self.failed = True
            raise

    def _place(self, shard: _Shard) -> int:
        """Move a complete shard to its place and tell of it, on a placing thread; returns its seeds, 0 if not."""
        try:
            if self.unplaced:  # the store is gone
                return 0
            return self._finish(shard)
        except BaseException:
            self.failed = self.unplaced = True
            raise
        finally:
            self.slots.release()

    def _finish(self, shard: _Shard) -> int:
        name = shard_name(self.job.record, shard.number)
        files = len(files_of(shard.path))
        line = SHARD_LINES[self.job.record.item](
            shard.number, name, bytes_of(shard.path), sha256_of(shard.path), str(shard.seeds)
        )
        kept = self.store.place(shard.path, name, lambda: self.replaces(shard.number))
        del self.making[shard.number]
        os.close(shard.held)
        with self.telling:
            self.outcome.files += files
            self.outcome.bytes += line.bytes
            self.finished(line, kept)
        return len(shard.seeds)

    def _wait(self, down_to: int) -> None:
        """Wait until at most `down_to` batches are not written, for 0 also for all shards; raises the error of one."""
        while len(self.waiting) > down_to:
            count, written = self.waiting[0]
            shard = self.outcome.times.waited(written)
            self.waiting.popleft()
            self.outcome.unfinished += count
            if shard:
                self.placing.append(shard)
            self._count_placed(all_of_them=False)
            self.report()
        if not down_to and self.placing:
            self._count_placed(all_of_them=True)
            self.report()

    def _count_placed(self, all_of_them: bool) -> None:
        """Add the shards that are in their places to the outcome; raises the error of one."""
        while self.placing and (all_of_them or self.placing[0].done() or self.unplaced):
            placed = self.outcome.times.waited(self.placing[0])
            self.placing.popleft()
            self.outcome.unfinished -= placed
            self.outcome.written += placed

    def _abandon(self) -> None:
        """Remove the shards that are not complete."""
        for shard in self.making.values():
            with suppress(Exception):
                shard.writer.close()
            remove(shard.path)
            os.close(shard.held)
        self.making.clear()
        self.generating.clear()
        self.waiting.clear()
        self.placing.clear()
        self.outcome.unfinished = 0
