"""The shard loop: computes the maps of seeds and writes them to shards; a stopped run can be continued.

A shard is `shard_size` consecutive seeds of the list of the run. Batches are cut from the seeds of one shard and padded
to one size, so that the bytes of a shard depend on its seeds and the settings only, not on the machine that made it or
on the other shards. Three stages overlap, with bounded queues between them: the calling thread generates, a thread
pool encodes batches, and one thread writes them in order. A full shard is flushed to the disk, renamed to its name and
recorded in the manifest. Other shards are made again from their first seed.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from sgi.engine.api import Engine
from sgi.engine.backends import Coding
from sgi.engine.drawing import draw_ahead
from sgi.engine.files import TEMPORARY_MARK, temporary_path
from sgi.engine.finite import NotFiniteError
from sgi.engine.rows import pad_rows
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome, disk_errors, other_manifests, sweep, with_number
from sgi.engine.run.run_latents import RunLatents, of_seeds
from sgi.engine.run.set_aside import copy_aside
from sgi.engine.run.shard_files import (
    SHARD_LINES,
    ShardLine,
    ShardManifest,
    bytes_of,
    files_of,
    hold,
    is_as_recorded,
    is_finished,
    is_held,
    place,
    remove,
    settings_of,
    sha256_of,
    shard_name,
    sync,
    sync_one,
)
from sgi.engine.seeds import Seeds
from sgi.engine.shards.shard_format import CODES, ShardWriter, stored

_MOST_ENCODERS = 16
_TEMPORARY = re.compile(rf"\.shard-(\d+){re.escape(TEMPORARY_MARK)}[0-9a-f]+(?:\.\w+)*")


def run(
    engine: Engine,
    job: Job,
    outcome: Outcome,
    progress: Callable[[], None] = lambda: None,
    latents: RunLatents | None = None,
) -> None:
    """Write all missing shards of a prepared job, and the manifest; arguments and errors are those of `pipeline.run`.

    After any error and after KeyboardInterrupt, finished shards remain, no shard is incomplete, and the same job can be
    continued.
    """
    with disk_errors(job.outdir, True), ShardManifest(job.manifest, job) as manifest, ExitStack() as opened:
        sweep(job)
        _sweep_shards(job)
        if manifest.wrong:
            outcome.set_aside.append(copy_aside(job.manifest))
            progress()
        others = [opened.enter_context(ShardManifest(path, job, read_only=True)) for path in other_manifests(job)]
        latents = latents or of_seeds(engine.artifact.z_dim)
        _Loop(engine, job, latents, manifest, others, outcome, progress).run()
        manifest.check()
        manifest.sort()


@dataclass(frozen=True)
class _Shard:
    """A shard that is being made: its number, its seeds, its temporary path, its writer, and what holds the path."""

    number: int
    seeds: Seeds
    path: Path
    writer: ShardWriter
    held: int


class _Loop:
    def __init__(
        self,
        engine: Engine,
        job: Job,
        latents: RunLatents,
        manifest: ShardManifest,
        others: list[ShardManifest],
        outcome: Outcome,
        progress: Callable[[], None],
    ) -> None:
        form = job.record.shard_format
        assert form is not None
        self.form = form
        self.engine = engine
        self.job = job
        self.latents = latents
        self.manifest = manifest
        self.others = others
        self.outcome = outcome
        self.progress = progress
        self.settings = settings_of(job.record, engine.artifact.resolution)
        self.kinds = {name: engine.artifact.output(name) for name in job.record.types}
        # Shards of codes are made from codes where the backend computes them, so that no values are copied.
        self.as_codes = isinstance(engine.backend, Coding) and self.settings.dtype == CODES
        self.started = time.perf_counter()
        self.generating: deque[tuple[int, Seeds, Seeds]] = deque()  # number and seeds of a shard, and a batch of it
        self.making: dict[int, _Shard] = {}
        self.waiting: deque[tuple[int, Future[int]]] = deque()  # seeds of a batch, and those of the shard it finishes
        self.failed = False
        self.recording = Lock()  # both the calling and the writing thread append to the manifest

    def run(self) -> None:
        encoders = min(_MOST_ENCODERS, os.cpu_count() or 1)
        with (
            ThreadPoolExecutor(encoders, "sgi-encode") as encoding,
            ThreadPoolExecutor(1, "sgi-write") as writing,
        ):
            try:
                stream = self.latents.stream(self.engine, self._batches(), self.job.record, self.as_codes)
                for maps in self.outcome.times.generated(stream):
                    self._submit(encoding, writing, maps)
                    self._wait(down_to=encoders + 1)
                self._wait(down_to=0)
            except KeyboardInterrupt:
                self._wait(down_to=0)
                raise
            except NotFiniteError as error:
                self._wait(down_to=0)
                raise with_number(error, self.job.record, self.generating[0][2]) from None
            finally:
                self.failed = True  # a batch that is not written yet must not be, after one that failed
                encoding.shutdown(cancel_futures=True)
                writing.shutdown(cancel_futures=True)
                self._abandon()

    def _batches(self) -> Iterator[np.ndarray]:
        """Latents [batch, ...] of the batches of every unfinished shard, drawn ahead."""
        batch = self.engine.batch
        for latent in draw_ahead(self.latents.rows, self._parts()):
            yield pad_rows(latent, batch - len(latent))

    def _parts(self) -> Iterator[Seeds]:
        """The seeds of the batches of every unfinished shard; notes them in `generating`."""
        for number in self.job.shards:
            seeds = self.job.shard_seeds(number)
            if self._is_finished(number):
                self.outcome.found += len(seeds)
                self._report()
                continue
            for start in range(0, len(seeds), self.engine.batch):
                part = seeds[start : start + self.engine.batch]
                self.generating.append((number, seeds, part))
                yield part

    def _is_finished(self, number: int) -> bool:
        for manifest in (self.manifest, *self.others):
            if number in manifest and is_finished(self.job, manifest[number], self.job.verify):
                if manifest is not self.manifest:
                    self._record(manifest[number])
                return True
        return False

    def _submit(self, encoding: ThreadPoolExecutor, writing: ThreadPoolExecutor, maps: dict[str, np.ndarray]) -> None:
        number, seeds, part = self.generating.popleft()
        shard = self.making.get(number) or self._open(number, seeds)
        encoded = encoding.submit(self._encode, shard, part, maps)
        is_last = part[-1] == seeds[-1]
        self.waiting.append((len(part), writing.submit(self._write, shard, encoded, is_last)))

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

    def _write(self, shard: _Shard, encoded: Future[tuple[Any, float]], is_last: bool) -> int:
        """Append a batch, on the writing thread; returns the number of seeds of the shard if it is finished, else 0."""
        if self.failed:
            return 0
        try:
            batch, seconds = encoded.result()
            self.outcome.times.encode += seconds
            with self.outcome.times.writing():
                shard.writer.write(batch)
                if not is_last:
                    return 0
                shard.writer.close()
                self._finish(shard)
                return len(shard.seeds)
        except BaseException:
            self.failed = True
            raise

    def _finish(self, shard: _Shard) -> None:
        """Move a complete shard to its place and record it."""
        job = self.job
        sync(shard.path)
        name = shard_name(job.record, shard.number)
        line = SHARD_LINES[job.record.item](
            shard.number, name, bytes_of(shard.path), sha256_of(shard.path), str(shard.seeds)
        )
        kept = place(shard.path, job.outdir / name, lambda: self._is_superseded(shard.number))
        del self.making[shard.number]
        os.close(shard.held)
        sync_one(job.outdir)
        self._record(line)
        self.outcome.files += len(files_of(job.outdir / name))
        self.outcome.bytes += line.bytes
        if kept:
            self.outcome.set_aside.append(kept)

    def _record(self, line: ShardLine) -> None:
        with self.recording:
            self.manifest.append(line)
            self.manifest.sync()

    def _is_superseded(self, number: int) -> bool:
        """Whether the shard in the place of this one is that of a run of fewer seeds."""
        text = str(self.job.shard_seeds(number))
        return any(
            number in manifest and manifest[number].seeds != text and is_as_recorded(self.job, manifest[number], True)
            for manifest in (self.manifest, *self.others)
        )

    def _wait(self, down_to: int) -> None:
        """Wait until at most `down_to` batches are not written; raises the error of a batch."""
        while len(self.waiting) > down_to:
            count, written = self.waiting[0]
            finished = self.outcome.times.waited(written)
            self.waiting.popleft()
            self.outcome.unfinished += count - finished
            self.outcome.written += finished
            self._report()

    def _abandon(self) -> None:
        """Remove the shards that are not complete."""
        for shard in self.making.values():
            with suppress(Exception):
                shard.writer.close()
            remove(shard.path)
            os.close(shard.held)
        self.outcome.unfinished = 0

    def _report(self) -> None:
        self.outcome.seconds = time.perf_counter() - self.started
        self.progress()


def _sweep_shards(job: Job) -> None:
    """Remove what a killed run left of the shards of this part; another run, of other parts, may be making some."""
    for name in os.listdir(job.outdir):
        match = _TEMPORARY.fullmatch(name) if name.startswith(".") else None
        if match and int(match[1]) in job.shards and not is_held(job.outdir / name):
            remove(job.outdir / name)
