"""The shard loop: makes the shards that a folder lacks and records them; a stopped run can be continued.

A shard is `shard_size` consecutive seeds of the list of the run. `shard_maker.py` makes it and moves it to its place,
and then its line is appended to the manifest. Shards without a line are made again from their first seed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

import msgspec

from sgi.engine.api import Engine
from sgi.engine.files import TEMPORARY_MARK
from sgi.engine.run.disk_errors import disk_errors
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import WORKER_MANIFEST
from sgi.engine.run.pipeline import Outcome, other_manifests, sweep
from sgi.engine.run.run_latents import RunLatents, of_seeds
from sgi.engine.run.shard_files import ShardLine, ShardManifest, is_finished, is_held, remove
from sgi.engine.run.shard_maker import ShardMaker
from sgi.engine.run.stores.local_folder import LocalFolder
from sgi.engine.run.stores.store import Store

_TEMPORARY = re.compile(rf"\.shard-(\d+){re.escape(TEMPORARY_MARK)}[0-9a-f]+(?:\.\w+)*")


def run(
    engine: Engine,
    job: Job,
    outcome: Outcome,
    progress: Callable[[], None] = lambda: None,
    latents: RunLatents | None = None,
    store: Store | None = None,
) -> None:
    """Write all missing shards of a prepared job, and the manifest; arguments and errors are those of `pipeline.run`.

    store: where they are; None is the folder of the job.
    After any error and after KeyboardInterrupt, finished shards remain, no shard is incomplete, and the same job can be
    continued.
    """
    store = store or LocalFolder(job.outdir)

    def make(records: ShardRecords) -> None:
        rows = latents or of_seeds(engine.artifact.z_dim)
        maker = ShardMaker(engine, job, store, rows, outcome, records.add, records.is_superseded, progress)
        maker.make(records.unfinished(maker.report))

    complete(job, store, outcome, make, progress)


def complete(
    job: Job,
    store: Store,
    outcome: Outcome,
    make: Callable[[ShardRecords], None],
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Complete a prepared job and its manifest with `make`, which makes the unfinished shards of the records.

    Raises UserError as `pipeline.run` does, and what `make` raises.
    """
    with disk_errors(job.outdir, True), ShardManifest(job.manifest, job) as manifest, ExitStack() as opened:
        sweep(job)
        sweep_shards(job)
        if manifest.wrong:
            outcome.set_aside.append(store.copy_aside(job.manifest))
            progress()
        others = [opened.enter_context(ShardManifest(path, job, read_only=True)) for path in other_manifests(job)]
        try:
            make(ShardRecords(job, store, manifest, others, outcome))
        finally:
            _remove_worker_manifests(job, manifest)
        manifest.check()
        manifest.sort()
        if job.shard[1] == 1:
            store.publish_manifest(job.manifest)


class ShardRecords:
    """What the manifests of a folder say of the shards of a job, and its own, to which lines are appended."""

    def __init__(
        self, job: Job, store: Store, manifest: ShardManifest, others: list[ShardManifest], outcome: Outcome
    ) -> None:
        self.job = job
        self.store = store
        self.manifest = manifest
        self.others = others
        self.outcome = outcome
        self.appending = Lock()  # both the calling and the writing thread append to the manifest

    def unfinished(self, report: Callable[[], None]) -> Iterator[int]:
        """The numbers of the shards to make; counts the others in the outcome and reports them."""
        for number in self.job.shards:
            if self._is_finished(number):
                self.outcome.found += len(self.job.shard_seeds(number))
                report()
            else:
                yield number

    def add(self, line: ShardLine, set_aside: Path | None = None, is_recorded: bool = False) -> None:
        """Record a shard that is in its place now, and what was set aside for it.

        is_recorded: whether the worker that made the shard has called `Store.record`.
        """
        if is_recorded:
            self.store.note(line.shard)
        else:
            self.store.record(line.shard, msgspec.json.encode(line))
        self._append(line)
        self.manifest.sync()
        if set_aside:
            self.outcome.set_aside.append(set_aside)

    def is_superseded(self, number: int) -> bool:
        """Whether the shard in the place of this one is that of a run of fewer seeds."""
        return any(self.store.has(line.file, line.bytes, line.sha256) for line in self.earlier(number))

    def earlier(self, number: int) -> list[ShardLine]:
        """The lines of shards of this number with other seeds, of runs of fewer seeds."""
        text = str(self.job.shard_seeds(number))
        found = [manifest[number] for manifest in (self.manifest, *self.others) if number in manifest]
        return [line for line in found if line.seeds != text]

    def _is_finished(self, number: int) -> bool:
        for manifest in (self.manifest, *self.others):
            if number in manifest and is_finished(self.job, self.store, manifest[number], self.job.verify):
                if manifest is not self.manifest:
                    self._append(manifest[number])
                return True
        return False

    def _append(self, line: ShardLine) -> None:
        with self.appending:
            self.manifest.append(line)


def _remove_worker_manifests(job: Job, manifest: ShardManifest) -> None:
    """Remove the manifests of workers, of this run and of killed ones, whose shards are all in that of the job."""
    for path in other_manifests(job):
        if WORKER_MANIFEST.fullmatch(path.name):
            with ShardManifest(path, job, read_only=True) as lines:
                if all(number in manifest for number in lines.numbers):
                    path.unlink(missing_ok=True)


def sweep_shards(job: Job) -> None:
    """Remove what a killed run left of the shards of this part; another run, of other parts, may be making some."""
    for name in os.listdir(job.outdir):
        match = _TEMPORARY.fullmatch(name) if name.startswith(".") else None
        if match and int(match[1]) in job.shards and not is_held(job.outdir / name):
            remove(job.outdir / name)
