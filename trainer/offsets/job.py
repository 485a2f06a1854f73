"""One offset from pool to file: fit, score beside the baselines, write down what it was fitted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.intrinsics import Kind
from sgi.engine.offsets import Offset
from sgi.engine.version import __version__
from sgi.trainer.offsets import fit as fitting_loop
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.journal import Journal
from sgi.trainer.offsets.parameters import rms
from sgi.trainer.offsets.pool import Pool, Sampling, build_pool
from sgi.trainer.offsets.score import best_baseline, evaluate
from sgi.trainer.offsets.seed_splits import describe, fitting_seeds, scoring_seeds
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import target_type
from sgi.trainer.teachers.joint_teacher import teacher_of


class Pools(NamedTuple):
    """Pictures to fit on and pictures to score on, of disjoint seeds; `split` names the latter's seeds."""

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
    on_pictures: Callable[[int], None] | None = None,
    cache: str | Path | None = None,
) -> Pools:
    """Pools of `images` fitting and `holdout` scoring seeds; see `build_pool` and sgi.trainer.offsets.seed_splits.

    Raises UserError for counts, streams, splits, types or a sampling that do not exist, or a cache that cannot be.
    """
    # Both ranges first: a wrong flag should not cost the minutes of the first pool.
    fitting, held = fitting_seeds(images, stream), scoring_seeds(holdout, split)
    return Pools(
        build_pool(generator, teacher, types, fitting, sampling, on_pictures, cache),
        build_pool(generator, teacher, types, held, sampling, on_pictures, cache),
        split,
    )


def open_journal(
    workdir: str | Path, generator: Generator, teacher: Teacher, kind: Kind, pool: Pool, settings: FitSettings
) -> Journal:
    """The journal in `workdir` of exactly this fit, whether it exists or not."""
    name = intrinsics.get(kind).name
    key = fitting_loop.fingerprint(kind, settings, pool, generator_sha256(generator), teacher_of(teacher, name).sha256)
    return Journal(workdir, name, key)


def train_offset(
    generator: Generator,
    teacher: Teacher,
    kind: Kind,
    pools: Pools,
    settings: FitSettings,
    journal: Journal | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Offset:
    """Fit and score the offset of a type, by its name or description; every field of what it returns is filled.

    Raises what `fit` and `evaluate` raise. The journal's checkpoint stays until its `finish`: call that once the
    offset is on disk.
    """
    intrinsic, settings = target_type(teacher, kind), settings.for_type(kind)
    tensors = fitting_loop.fit(generator, pools.fitting, intrinsic, settings, journal, on_step)
    sampling = pools.fitting.sampling
    offset = Offset(
        type=intrinsic.name,
        space=settings.space,
        tensors={key: tensor.numpy() for key, tensor in tensors.items()},
        generator_sha256=generator_sha256(generator),
        psi=sampling.psi,
        cutoff=sampling.cutoff,
        noise_mode=sampling.noise_mode,
        teacher=teacher_facts(teacher_of(teacher, intrinsic.name)),
        loss=str(settings.loss),
        fit=_fit_facts(settings, pools.fitting, generator),
        semantics=intrinsic.to_dict(),
    )
    offset.score = score_offset(generator, teacher, offset, pools)
    return offset


def score_offset(generator: Generator, teacher: Teacher, offset: Offset, pools: Pools) -> dict[str, Any]:
    """Held-out figures of an offset and all baselines, as the offset file keeps them."""
    tensors = tensors_of(offset)
    rows = evaluate(generator, offset.intrinsic, offset.space, tensors, pools.fitting, pools.held)
    return {
        "split": pools.split,
        "seeds": describe(pools.held.seeds),
        "teacher": teacher_facts(teacher_of(teacher, offset.type)),
        "best_baseline": best_baseline(rows),
        "rows": rows,
    }


def sampling_of(offset: Offset) -> Sampling:
    """The sampling an offset was fitted under."""
    return Sampling(offset.psi, offset.cutoff, offset.noise_mode, offset.fit.get("class_index"))


def pool_facts(offset: Offset) -> tuple[int, int]:
    """Count and stream of the pictures an offset was fitted on; raises UserError if its file does not say."""
    try:
        return int(offset.fit["images"]), int(offset.fit["seed"])
    except KeyError:
        raise UserError(
            f"the {offset.type} offset does not say which pictures it was fitted on, which the baselines need: "
            f"fit it with `sgi-engine train --type {offset.type}`"
        ) from None


def teacher_facts(teacher: Teacher) -> dict[str, str]:
    """What a file says of a teacher."""
    return {"name": teacher.name, "sha256": teacher.sha256}


def _fit_facts(settings: FitSettings, pool: Pool, generator: Generator) -> dict[str, Any]:
    facts = {
        key: value for key, value in asdict(settings).items() if key not in ("space", "loss") and value is not None
    }
    return facts | {
        "rms_w": rms(pool.ws),
        "images": len(pool),
        "seeds": describe(pool.seeds),
        "class_index": pool.sampling.class_index,
        "device": generator.mapping.w_avg.device.type,
        "versions": {"sgi-engine": __version__, "torch": torch.__version__, "numpy": np.__version__},
    }
