"""The run loop: computes the maps of seeds and writes them to files; a stopped run can be continued.

Generation overlaps with copies, encoding and writing. A seed is finished when all its files exist; files appear by
rename, so an existing file is complete. Batches are cut from the complete list of seeds and padded to one size, so a
continued run computes each seed at the same position of the same batch and writes the same bytes as an uninterrupted
one.
"""

from __future__ import annotations

import errno
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sgi.engine.api import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.backends.backend import pad_rows
from sgi.engine.errors import UserError
from sgi.engine.files import TEMPORARY_MARK, atomic_write, sha256_file
from sgi.engine.run.manifest import Manifest, RunRecord, claim_folder
from sgi.engine.seeds import Seeds, latents, seed_stem
from sgi.engine.writers import get_format, preview

_MOST_WRITERS = 8
_TEMPORARY = re.compile(rf"\.(?P<stem>(?:seed(?P<seed>\d+)_)?.*){re.escape(TEMPORARY_MARK)}[0-9a-f]+\.\w+")


@dataclass(frozen=True)
class Job:
    """What to write, and where.

    outdir: folder of the files. seeds: of the complete run. record: settings of the folder; `record.types` are written.
    shard: (k, n), only part k of n of the seeds, so that n processes can share the work.
    """

    outdir: Path
    seeds: Seeds
    record: RunRecord
    shard: tuple[int, int] = (1, 1)

    @property
    def part(self) -> Seeds:
        """The seeds of this shard."""
        return self.seeds.shard(*self.shard)

    def named(self, name: str) -> Path:
        """Path of a file of the run itself: `preview.png`, or `preview-2-of-4.png` for a shard."""
        path = self.outdir / name
        k, n = self.shard
        return path if n == 1 else path.with_name(f"{path.stem}-{k}-of-{n}{path.suffix}")

    @property
    def manifest(self) -> Path:
        """Path of the manifest of this shard."""
        return self.named("manifest.jsonl")

    def files(self, seed: int) -> dict[str, Path]:
        """Paths of a seed's maps, {type: path}: `seed0042_depth.png`."""
        suffix = get_format(self.record.file_format).suffix
        stem = seed_stem(seed, self.record.digits)
        return {name: self.outdir / f"{stem}_{name}{suffix}" for name in self.record.types}


@dataclass
class Outcome:
    """The result of a run: seeds written by it, seeds found finished, and seconds of the loop."""

    written: int = 0
    found: int = 0
    seconds: float = 0.0


def prepare(job: Job) -> Job:
    """Create the folder and its run.json; returns the job with the record of the folder.

    Raises UserError for a folder with other settings and for one that cannot be written.
    """
    with disk_errors(job.outdir):
        job.outdir.mkdir(parents=True, exist_ok=True)
        return replace(job, record=claim_folder(job.outdir, job.record))


def run(engine: Engine, job: Job, outcome: Outcome, progress: Callable[[], None] = lambda: None) -> None:
    """Write all missing maps of a prepared job, and the manifest.

    outcome: updated during the run. progress: called after each update, on the calling thread.

    Raises UserError when the folder cannot be written, the disk is full, or another run uses the folder. After any
    error and after KeyboardInterrupt, finished files remain, no file is incomplete, and the same job can be continued.
    """
    with disk_errors(job.outdir), Manifest(job.manifest) as manifest:
        _sweep(job)
        _Loop(engine, job, manifest, outcome, progress).run()
        manifest.sort()


def write_preview(job: Job, artifact: Artifact) -> Path:
    """Write the contact sheet of the first seeds of a finished job from their files; returns its path."""
    decode = get_format(job.record.file_format).decode
    kinds = {name: artifact.output(name) for name in job.record.types}
    path = job.named("preview.png")
    with disk_errors(job.outdir):
        rows = {
            f"seed {seed}": {name: decode(kinds[name], file.read_bytes()) for name, file in job.files(seed).items()}
            for seed in job.part[: preview.ROWS]
        }
        preview.write_sheet(path, rows, list(kinds.values()))
    return path


class _Loop:
    """The loop of one run: generates and records on the calling thread, encodes and writes on a thread pool."""

    def __init__(
        self,
        engine: Engine,
        job: Job,
        manifest: Manifest,
        outcome: Outcome,
        progress: Callable[[], None],
    ) -> None:
        self.engine = engine
        self.job = job
        self.manifest = manifest
        self.outcome = outcome
        self.progress = progress
        self.started = time.perf_counter()
        self.generating: deque[tuple[Seeds, list[int]]] = deque()  # a batch, and the rows of it to write
        self.waiting: deque[tuple[int, Future[dict[str, str]]]] = deque()

    def run(self) -> None:
        record = self.job.record
        writers = min(_MOST_WRITERS, os.cpu_count() or 1)
        with ThreadPoolExecutor(writers) as pool:
            try:
                for maps in self.engine.stream(
                    self._batches(), psi=record.psi, types=record.types, class_index=record.class_index
                ):
                    self._write(pool, maps)
                    self._record(down_to=2 * writers)
                self._record(down_to=0)
            except KeyboardInterrupt:
                self._record(down_to=0)
                raise
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _batches(self) -> Iterator[np.ndarray]:
        """Latents [batch, z_dim] of every batch that contains an unfinished seed."""
        seeds = self.job.part
        batch = min(self.engine.batch, len(seeds))
        for start in range(0, len(seeds), batch or 1):
            part = seeds[start : start + batch]
            unfinished = [row for row, seed in enumerate(part) if not self._is_finished(seed)]
            if not unfinished:
                self._report()
                continue
            self.generating.append((part, unfinished))
            yield pad_rows(latents(part, self.engine.artifact.z_dim), batch - len(part))

    def _write(self, pool: ThreadPoolExecutor, maps: dict[str, np.ndarray]) -> None:
        seeds, unfinished = self.generating.popleft()
        for row in unfinished:
            values = {name: stack[row] for name, stack in maps.items()}
            self.waiting.append(
                (seeds[row], pool.submit(write_maps, self.job, self.engine.artifact, seeds[row], values))
            )

    def _is_finished(self, seed: int) -> bool:
        files = self.job.files(seed)
        if not all(path.exists() for path in files.values()):
            return False
        if seed not in self.manifest:
            self._append(seed, {name: sha256_file(path) for name, path in files.items()})
        self.outcome.found += 1
        return True

    def _record(self, down_to: int) -> None:
        while len(self.waiting) > down_to:
            seed, future = self.waiting[0]
            self._append(seed, future.result())
            self.waiting.popleft()
            self.outcome.written += 1
            self._report()

    def _append(self, seed: int, sha256: dict[str, str]) -> None:
        self.manifest.append(seed, {name: path.name for name, path in self.job.files(seed).items()}, sha256)

    def _report(self) -> None:
        self.outcome.seconds = time.perf_counter() - self.started
        self.progress()


def write_maps(job: Job, artifact: Artifact, seed: int, values: dict[str, np.ndarray]) -> dict[str, str]:
    """Encode and write the missing maps of a seed; returns the SHA-256 of every file, type -> hash.

    values: type -> map [C, H, W] float32.
    """
    encode = get_format(job.record.file_format).encode
    sha256 = {}
    for name, path in job.files(seed).items():
        if not path.exists():
            with atomic_write(path) as temporary:
                temporary.write_bytes(encode(artifact.output(name), values[name]))
        sha256[name] = sha256_file(path)
    return sha256


@contextmanager
def disk_errors(outdir: Path) -> Iterator[None]:
    """Turn errors of the file system into a UserError with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "the disk is full; free space and run the same command again to continue"
        else:
            remedy = f"cannot write there ({error.strerror}); choose another `outdir`"
        raise UserError(f"`outdir={outdir}`: {remedy}") from None


def _sweep(job: Job) -> None:
    """Remove the temporary files that a killed run of this shard left."""
    own = {job.manifest.stem, job.named("preview.png").stem}
    seeds = job.part
    with os.scandir(job.outdir) as entries:
        for entry in entries:
            match = _TEMPORARY.fullmatch(entry.name)
            if match and (match["stem"] in own or (match["seed"] and int(match["seed"]) in seeds)):
                os.unlink(entry.path)
