"""One task of a study: fit an offset, predict the held-out maps, and store the statistics of each picture."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.measures.by_type import Statistics, measures_of, statistics
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.fit import fit
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.fit_steps import report_steps
from sgi.trainer.offsets.held_out_score import OFFSET, predict, predictions
from sgi.trainer.offsets.open_generator import with_backend_of
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.studies.evaluation.context import open_context
from sgi.trainer.studies.evaluation.controls import controlled
from sgi.trainer.studies.evaluation.study import Study
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task

PERMUTED = "permuted"
# Seed of the random weights and of the permutation of rows; fixed, so that studies are reproducible.
SEED = 1


def run_task(study: Study, task: Task, progress: Progress = SILENT) -> TaskResult:
    """Compute a task, or read its result if it exists; an interrupted fit resumes.

    Raises the errors of `fit` and `build_pool`.
    """
    path = study.result_path(task)
    if path.exists():
        return TaskResult.load(path)
    context, row, began = open_context(study), task.row, time.monotonic()
    kind = context.kinds[row.type]
    pools = (context.fitting(task.stream), context.held())
    fitting, held = (controlled(pool, row.type, row.control) for pool in pools)
    generator = random_weights(context.generator) if row.random_weights else context.generator
    checkpoint = None
    if row.given is None:
        checkpoint = FitCheckpoint(study.folder / "fits", path.stem.rpartition("-")[0], study.key(task))
        with progress.stage(row.label, study.steps, "steps") as stage:
            settings = study.settings(row, task.stream)
            tensors = fit(generator, fitting, kind, settings, checkpoint, report_steps(stage))
    else:
        tensors = tensors_of(study.given(row))
    kept = _keep(kind, row, tensors, generator, fitting, held)
    result = TaskResult(tensors, kept, time.monotonic() - began)
    result.save(path)
    if checkpoint:
        checkpoint.finish()
    return result


def _keep(
    kind: Intrinsic,
    row: Row,
    tensors: Mapping[str, Tensor],
    generator: Generator,
    fitting: Pool,
    held: Pool,
) -> dict[str, Statistics]:
    """Statistics of the offset, and for maps and controls those of all baselines."""
    made = predictions(generator, kind, row.space, tensors, fitting, held, seed=SEED)
    if row.role in ("intrinsic", "control"):
        shuffled = permuted(tensors)
        made[PERMUTED] = lambda: predict(generator, held, kind, row.space, shuffled)
    else:
        made = {OFFSET: made[OFFSET]}
    target = held.codes[row.type].float()
    measures = measures_of(kind, baselines.mean_map(fitting.codes[row.type]))
    return {predictor: statistics(measures, make(), target) for predictor, make in made.items()}


def permuted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a w+ offset with their rows permuted, so that each row is added in another layer."""
    drawn = torch.Generator().manual_seed(SEED)
    return {key: tensor[torch.randperm(len(tensor), generator=drawn)] for key, tensor in tensors.items()}


def random_weights(generator: Generator) -> Generator:
    """An untrained, frozen generator of the same configuration, on the same device and backend."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fresh = Generator(generator.config)
    fresh = fresh.to(generator.mapping.w_avg.device).eval().requires_grad_(False)
    return with_backend_of(fresh, generator)
