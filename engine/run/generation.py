"""The format `dummy` of a run: maps are generated and not written, which measures generation alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from sgi.engine.api import Engine
from sgi.engine.backends import Coding
from sgi.engine.drawing import draw_ahead
from sgi.engine.errors import refuse_ignored
from sgi.engine.finite import NotFiniteError
from sgi.engine.rows import pad_rows
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome, with_number
from sgi.engine.run.run_latents import RunLatents

DUMMY = "dummy"
"""A name for `file_format` that is none of a file."""


@contextmanager
def place_of(file_format: str, outdir: str | Path) -> Iterator[str | Path]:
    """Where a run writes: `outdir`; with `dummy` a temporary folder for its run.json, which is removed."""
    if file_format != DUMMY:
        yield outdir
        return
    with TemporaryDirectory(prefix="sgi-dummy-") as folder:
        yield folder


def check_dummy(**given: object) -> None:
    """Raise UserError for settings of files, of which the format `dummy` has none."""
    refuse_ignored(given, f"with `file_format={DUMMY}`, which writes no files; leave it out")


def run(engine: Engine, job: Job, outcome: Outcome, progress: Callable[[], None], latents: RunLatents) -> None:
    """Generate all maps of a job as `pipeline.run` does, in the same batches, and drop them.

    A backend that computes codes on its device gives these. Raises NotFiniteError, which names the seed.
    """
    started = time.perf_counter()
    size = engine.batch
    parts = [job.part[start : start + size] for start in range(0, len(job.part), size)]

    def batches() -> Iterator[np.ndarray]:
        for latent in draw_ahead(latents.rows, parts):
            yield pad_rows(latent, size - len(latent))

    stream = latents.stream(engine, batches(), job.record, isinstance(engine.backend, Coding))
    place = 0
    try:
        for _ in outcome.times.generated(stream):
            outcome.written += len(parts[place])
            outcome.seconds = time.perf_counter() - started
            progress()
            place += 1
    except NotFiniteError as error:
        raise with_number(error, job.record, parts[place]) from None
