"""A job: fit the offset of one type on a pool, score it on held-out pictures, and record both in an `Offset`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.version import __version__
from sgi.trainer.offsets.fit import FitSettings, fingerprint, fit
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.fit_steps import report_steps
from sgi.trainer.offsets.fitted_baselines import BaselinesCache, FittedBaselines, baseline_facts
from sgi.trainer.offsets.held_out_score import best_baseline, evaluate
from sgi.trainer.offsets.open_generator import TORCH, backend_of
from sgi.trainer.offsets.parameters import rms
from sgi.trainer.offsets.pool import Pool, Sampling, build_pool
from sgi.trainer.offsets.seed_splits import describe, fitting_seeds, scoring_seeds
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.joint_teacher import teacher_of


class Pools(NamedTuple):
    """Pictures to fit on and pictures to score on, of disjoint seeds; `split` is the name of the latter's seeds."""

    fitting: Pool
    held: Pool
    split: str


def make_pools(
    generator: Generator,
    teacher: Teacher,
    types: Sequence[str],
    sampling: Sampling,
    images: int,
    holdout: int,
    stream: int = 0,
    split: str = "holdout",
    cache: str | Path | None = None,
    progress: Progress = SILENT,
) -> Pools:
    """Build pools of `images` fitting and `holdout` scoring seeds.

    stream, split: see sgi.trainer.offsets.seed_splits. The other parameters are those of `build_pool`. Raises UserError
    for invalid counts, streams and splits, and the errors of `build_pool`.
    """
    # Both ranges are checked before the first pool is built, which takes minutes.
    fitting, held = fitting_seeds(images, stream), scoring_seeds(holdout, split)
    with progress.stage("pictures", images + holdout) as stage:
        return Pools(
            build_pool(generator, teacher, types, fitting, sampling, stage.advance, cache),
            build_pool(generator, teacher, types, held, sampling, stage.advance, cache),
            split,
        )


def open_checkpoint(
    workdir: str | Path, generator: Generator, teacher: Teacher, kind: Intrinsic, pool: Pool, settings: FitSettings
) -> FitCheckpoint:
    """Return the checkpoint in `workdir` of the fit with these arguments; its file need not exist."""
    teacher_hash = teacher_of(teacher, kind.name).sha256
    key = fingerprint(kind, settings, pool, generator_sha256(generator), teacher_hash)
    return FitCheckpoint(workdir, kind.name, key)


def train_offset(
    generator: Generator,
    teacher: Teacher,
    kind: Intrinsic,
    pools: Pools,
    settings: FitSettings,
    checkpoint: FitCheckpoint | None = None,
    progress: Progress = SILENT,
    baselines: BaselinesCache | None = None,
) -> Offset:
    """Fit and score the offset of a type; every field of the returned offset is filled.

    kind: as `target_type` returns it for the teacher. checkpoint: resumed from if its file exists; call its `finish`
    once the offset is on disk. baselines: keeps the fitted baselines, which `score_offsets` then reads. Raises the
    errors of `fit` and `evaluate`.
    """
    settings = settings.for_type(kind)
    with progress.stage(kind.name, settings.steps, "steps") as stage:
        tensors = fit(generator, pools.fitting, kind, settings, checkpoint, report_steps(stage))
    sampling, sha256 = pools.fitting.sampling, generator_sha256(generator)
    offset = Offset(
        type=kind.name,
        space=settings.space,
        tensors={key: tensor.numpy() for key, tensor in tensors.items()},
        generator_sha256=sha256,
        psi=sampling.psi,
        cutoff=sampling.cutoff,
        noise_mode=sampling.noise_mode,
        teacher=teacher_facts(teacher_of(teacher, kind.name)),
        loss=str(settings.loss),
        fit=_fit_facts(settings, pools.fitting, generator),
        semantics=kind.to_dict(),
    )
    fitted = FittedBaselines.fit(pools.fitting, kind.name)
    if baselines:
        teacher_sha256 = teacher_of(teacher, kind.name).sha256
        baselines.store(baseline_facts(kind.name, sha256, teacher_sha256, sampling, pools.fitting.seeds), fitted)
    offset.score = score_offset(generator, teacher, offset, fitted, pools.held, pools.split)
    return offset


def score_offset(
    generator: Generator, teacher: Teacher, offset: Offset, fitting: Pool | FittedBaselines, held: Pool, split: str
) -> dict[str, Any]:
    """Return the held-out figures of an offset and of all baselines, in the form of the offset file's `score`.

    fitting: the baselines, or the pictures to fit them on. split: the name of the seeds of `held`.
    """
    tensors = tensors_of(offset)
    rows = evaluate(generator, offset.intrinsic, offset.space, tensors, fitting, held)
    return {
        "split": split,
        "seeds": describe(held.seeds),
        "teacher": teacher_facts(teacher_of(teacher, offset.type)),
        "best_baseline": best_baseline(rows),
        "rows": rows,
    }


def sampling_of(offset: Offset) -> Sampling:
    """Return the sampling that an offset was fitted with."""
    return Sampling(offset.psi, offset.cutoff, offset.noise_mode, offset.fit.get("class_index"))


def pool_facts(offset: Offset) -> tuple[int, int]:
    """Return count and stream of the pictures that an offset was fitted on; raises UserError if its file lacks them."""
    try:
        return int(offset.fit["images"]), int(offset.fit["seed"])
    except KeyError:
        raise UserError(
            f"the file of the {offset.type} offset does not contain the pictures it was fitted on, which the baselines "
            f"need: fit it with `sgi-engine train --type {offset.type}`"
        ) from None


def teacher_facts(teacher: Teacher) -> dict[str, str]:
    """Return what a file records of a teacher."""
    return {"name": teacher.name, "sha256": teacher.sha256}


def _fit_facts(settings: FitSettings, pool: Pool, generator: Generator) -> dict[str, Any]:
    facts = {
        key: value for key, value in asdict(settings).items() if key not in ("space", "loss") and value is not None
    }
    # Only where they differ from a CPU's, whose files thus stay the same.
    if backend_of(generator) != TORCH:
        facts["backend"] = backend_of(generator)
    if pool.half:
        facts["teacher_precision"] = "fp16"
    return facts | {
        "rms_w": rms(pool.ws),
        "images": len(pool),
        "seeds": describe(pool.seeds),
        "class_index": pool.sampling.class_index,
        "device": generator.mapping.w_avg.device.type,
        "versions": {"sgi-engine": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }
