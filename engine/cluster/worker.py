"""A worker of a cluster: one engine in a process of its own, which makes the shards that it is given."""

from __future__ import annotations

import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.generator_model import ModelSource
from sgi.engine.generator_model.sources import TemporaryFolder
from sgi.engine.latents_file import Latents
from sgi.engine.run.description import describe
from sgi.engine.run.disk_errors import disk_errors
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.plan import Plan
from sgi.engine.run.record import RunRecord
from sgi.engine.run.run_latents import RunLatents, latents_of
from sgi.engine.run.shard_files import ShardLine, settings_of
from sgi.engine.run.shard_maker import ShardMaker
from sgi.engine.run.stage_times import StageTimes
from sgi.engine.run.stores.opening import open_store
from sgi.engine.run.stores.store import Store
from sgi.engine.shards.shard_format import check_settings
from sgi.engine.version import __version__

_SECONDS_TO_SEE = 5.0
"""A file system of a network can show a new file of another machine later."""
_POLL = 0.2
_SECONDS_TO_STOP = 8.0
_SECONDS_BETWEEN_LOOKS = 1.0


class Greeting(NamedTuple):
    """The first answer of a worker: its machine, its process, and its version of sgi-engine."""

    host: str
    pid: int
    version: str


@dataclass(frozen=True)
class Parcel:
    """What a worker needs to open the model of a plan.

    path, sha256: of the model's file, where the run was started. reopen: `ModelSource.reopen`. settings: the other
    fields of the `Plan`, without the latents. encoders: threads that encode.
    """

    path: Path
    sha256: str
    reopen: Callable[[Path], ModelSource]
    settings: dict[str, Any]
    encoders: int


class Loaded(NamedTuple):
    """The backend and the device of a worker that has loaded the model."""

    backend: str
    device: str


@dataclass(frozen=True)
class Order:
    """A shard to make. earlier: lines of shards of its number with fewer seeds, which it replaces."""

    number: int
    earlier: tuple[ShardLine, ...] = ()


class Figures(NamedTuple):
    """The seeds that a worker has computed, and the times of its stages, since it was started."""

    seeds: int
    times: StageTimes


class Made(NamedTuple):
    """A finished shard: its line, the number of its files, the new name of what was set aside for it, and figures."""

    line: ShardLine
    files: int
    set_aside: str | None
    figures: Figures


class Stopped(Exception):
    """A worker stopped before it finished a shard, because the run ends."""


class Worker:
    """One engine, which makes one shard after the other; the methods are called from several threads."""

    _engine: Engine
    _latents: RunLatents

    def __init__(self) -> None:
        self._outcome = Outcome()
        self._orders: queue.Queue[Order | None] = queue.Queue()
        self._results: dict[int, Future[Made]] = {}
        self._earlier: dict[int, tuple[ShardLine, ...]] = {}
        self._thread: threading.Thread | None = None
        self._folder: TemporaryFolder | None = None
        self._store: Store | None = None
        self._ended: BaseException | None = None  # why no more shards are made
        self._token: Path | None = None
        self._looked = 0.0  # when the token was there
        self._counted = 0  # files of the shards that are finished

    def greet(self) -> Greeting:
        """Say what runs here."""
        return Greeting(socket.gethostname(), os.getpid(), __version__)

    def load(self, parcel: Parcel, latents: Latents | None, file: NDArray[np.uint8] | None = None) -> Loaded | None:
        """Load the model; returns None if its file is not here and `file`, its bytes, is None.

        Raises UserError if it cannot run here.
        """
        path = self._model_file(parcel, file)
        if path is None:
            return None
        plan = Plan(source=parcel.reopen(path), latents=latents, **parcel.settings)
        record, artifact = plan.record, plan.source.artifact
        assert record.shard_format is not None
        kinds = [artifact.output(name) for name in record.types]
        check_settings(record.shard_format, kinds, settings_of(record, artifact.resolution))
        self._plan, self._encoders = plan, parcel.encoders
        self._engine = plan.open()
        return Loaded(self._engine.backend.name, self._engine.backend.device)

    def begin(self, record: RunRecord) -> dict[str, Any]:
        """Prepare the latents of a run; returns the facts for run.json, with the versions of this machine."""
        self._latents = latents_of(self._engine, record, self._plan.latents)
        return describe(self._engine.artifact, record, self._plan.latents)

    def start(self, job: Job, outdir: Path | str, token: str) -> None:
        """Be ready to make shards of a job. outdir: its folder or URL. token: name of a file that the folder has now.

        Raises UserError if this machine does not see the folder.
        """
        if isinstance(outdir, Path):
            self._token = outdir / token
            with disk_errors(outdir):
                _check_seen(self._token)
        self._thread = threading.Thread(target=self._work, args=(job, outdir), daemon=True)
        self._thread.start()

    def make(self, order: Order) -> Made:
        """Make a shard, after those that were ordered before; returns when it is in its place.

        Raises UserError as `pipeline.run` does, and Stopped.
        """
        result = self._results[order.number] = Future()
        self._earlier[order.number] = order.earlier
        self._orders.put(order)
        if self._ended is not None:
            self._fail(self._ended)
        return result.result()

    def figures(self) -> Figures:
        """What this worker has done."""
        return Figures(self._outcome.written + self._outcome.unfinished, self._outcome.times.copy())

    def stop(self) -> None:
        """Give up the shards that are not finished, and remove their files."""
        self._ended = Stopped()
        self._orders.put(None)
        if self._thread is not None:
            if self._store is not None:
                self._store.stop_retrying()
            self._thread.join(_SECONDS_TO_STOP)
        self._fail(self._ended)
        self._folder = None

    def _model_file(self, parcel: Parcel, file: NDArray[np.uint8] | None) -> Path | None:
        if file is None:
            with suppress(OSError):
                if sha256_file(parcel.path) == parcel.sha256:
                    return parcel.path
            return None
        self._folder = TemporaryFolder()
        path = self._folder.path / parcel.path.name
        try:
            file.tofile(path)
        except OSError as error:
            raise UserError(
                f"the model's file cannot be written to {self._folder.path} ({error.strerror}): free space there, or "
                "start Ray with another TMPDIR"
            ) from None
        return path

    def _work(self, job: Job, outdir: Path | str) -> None:
        try:
            lines = f"manifest-{secrets.randbelow(10**9)}-of-0.jsonl"
            with open_store(outdir, lines=lines) as store, disk_errors(store.folder, True):
                self._store = store
                maker = ShardMaker(
                    self._engine, replace(job, outdir=store.folder), store, self._latents, self._outcome,
                    self._finished, self._replaces, self._go_on, self._encoders,
                )  # fmt: skip
                while (order := self._orders.get()) is not None:
                    maker.make(self._numbers(order))
        except UserError as error:
            self._ended = UserError(str(error))  # subclasses have arguments that are not pickled
        except BaseException as error:
            self._ended = error
        self._ended = self._ended or Stopped()
        self._fail(self._ended)

    def _numbers(self, order: Order) -> Iterator[int]:
        """The numbers of shards until none waits; the pipeline is then emptied, so that no finished shard waits."""
        following: Order | None = order
        while following is not None:
            yield following.number
            try:
                following = self._orders.get_nowait()
            except queue.Empty:
                return
        self._orders.put(None)

    def _go_on(self) -> None:
        """Raise Stopped if the run ends, or if another run has removed the token, because the command was killed."""
        if self._ended is not None:
            raise Stopped
        if self._token is not None and time.monotonic() - self._looked > _SECONDS_BETWEEN_LOOKS:
            self._looked = time.monotonic()
            if not self._token.exists():
                raise Stopped

    def _finished(self, line: ShardLine, kept: Path | None) -> None:
        files, self._counted = self._outcome.files - self._counted, self._outcome.files
        assert self._store is not None
        # By the worker, because the command can have been killed: the next one finds the shard by its line.
        self._store.record(line.shard, msgspec.json.encode(line))
        self._earlier.pop(line.shard, None)
        if (result := self._results.pop(line.shard, None)) is not None:
            result.set_result(Made(line, files, kept.name if kept else None, self.figures()))

    def _replaces(self, number: int) -> bool:
        store = self._store
        assert store is not None
        return any(store.has(line.file, line.bytes, line.sha256) for line in self._earlier[number])

    def _fail(self, error: BaseException) -> None:
        for number in list(self._results):
            if (result := self._results.pop(number, None)) is not None:
                result.set_exception(error)


def _check_seen(token: Path) -> None:
    until = time.monotonic() + _SECONDS_TO_SEE
    while not token.exists():
        if time.monotonic() > until:
            raise UserError(
                f"`outdir={token.parent}`: the worker on {socket.gethostname()} does not see this folder; choose one "
                "that all machines of the cluster share"
            )
        time.sleep(_POLL)
