"""What a run computes, and what computes it: this process, or the workers of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sgi.engine.api import Engine
from sgi.engine.backends import Backend
from sgi.engine.generator_model import ModelSource
from sgi.engine.latents_file import Latents
from sgi.engine.progress import Progress
from sgi.engine.run import generation, pipeline, shard_loop
from sgi.engine.run.description import describe
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.record import RunRecord
from sgi.engine.run.run_latents import RunLatents, latents_of
from sgi.engine.run.stores.store import Store
from sgi.engine.seeds import Seeds


@dataclass(frozen=True)
class Plan:
    """A model with the settings of a run.

    record: of the folder; backend and device can be auto. seeds: of the complete run. latents: those of files, None for
    seeds. input: what the model is opened to take, z, w or w+. batch: images in one pass. threads: CPU threads of the
    model, None for all cores.
    """

    source: ModelSource
    record: RunRecord
    seeds: Seeds
    latents: Latents | None
    input: str
    batch: int
    threads: int | None

    def open(self) -> Engine:
        """Load the model; raises UserError if it cannot run here."""
        record, count = self.record, len(self.seeds)
        # The number of all seeds, so that every part and every worker chooses the same backend.
        backend = self.source.open(
            record.backend, record.device, record.types, self.batch, self.threads, count, record.precision,
            input=self.input, is_stream=True,
        )  # fmt: skip
        return Engine(backend, _rows_of_a_pass(backend, self.batch, min(count, record.shard_size or count)))


class Maker(Protocol):
    """Makes the files of a run. backend, device: what runs the model, once it is loaded; remark: what to know of it."""

    backend: str
    device: str
    remark: str

    def load(self) -> None:
        """Load the model; raises UserError if it cannot run."""
        ...

    def begin(self, record: RunRecord) -> dict[str, Any]:
        """Prepare the latents; returns the facts for run.json. Raises UserError as `run_latents.latents_of` does."""
        ...

    def make(self, job: Job, store: Store, outcome: Outcome, progress: Callable[[], None]) -> None:
        """Complete a prepared job, as `pipeline.run` and `shard_loop.run` do."""
        ...


class Cluster(Protocol):
    """Machines with workers, which compute maps in place of this process."""

    def open(self, plan: Plan, progress: Progress) -> AbstractContextManager[Maker]:
        """Start workers for a run, which end with the context; progress: shows messages about lost workers."""
        ...


class Here:
    """This process computes the maps; a `Maker`."""

    backend, device, remark = "", "", ""
    _engine: Engine
    _latents: RunLatents

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @classmethod
    @contextmanager
    def open(cls, plan: Plan, progress: Progress) -> Iterator[Here]:
        """See `Cluster.open`."""
        here = cls(plan)
        try:
            yield here
        finally:
            if here.backend:
                here._engine.close()

    def load(self) -> None:
        """See `Maker.load`."""
        self._engine = self._plan.open()
        backend = self._engine.backend
        self.backend, self.device, self.remark = backend.name, backend.device, getattr(backend, "remark", "")

    def begin(self, record: RunRecord) -> dict[str, Any]:
        """See `Maker.begin`."""
        self._latents = latents_of(self._engine, record, self._plan.latents)
        return describe(self._engine.artifact, record, self._plan.latents)

    def make(self, job: Job, store: Store, outcome: Outcome, progress: Callable[[], None]) -> None:
        """See `Maker.make`."""
        if job.record.shard_format:
            shard_loop.run(self._engine, job, outcome, progress, self._latents, store)
        elif job.record.file_format == generation.DUMMY:
            generation.run(self._engine, job, outcome, progress, self._latents)
        else:
            pipeline.run(self._engine, job, outcome, progress, self._latents)


def _rows_of_a_pass(backend: Backend, batch: int, seeds: int) -> int:
    """Number of rows of a pass: `batch`, less for fewer seeds where the maps do not depend on it.

    See docs/experiments.md, "Maps and the batch".
    """
    independent = backend.device == "cpu" and backend.name in ("cpu", "onnxruntime")
    return min(batch, max(seeds, 1)) if independent else batch
