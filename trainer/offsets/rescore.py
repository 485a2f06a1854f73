"""Score existing offset files; the function behind `sgi-engine score`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.files import check_writable
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.chosen_types import chosen_types
from sgi.trainer.offsets.fitted_baselines import BaselinesCache, FittedBaselines, baseline_facts
from sgi.trainer.offsets.job import pool_facts, sampling_of, score_offset
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.offsets.pool import build_pool
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.offsets.timing import time_picture
from sgi.trainer.teachers.classes import target_type
from sgi.trainer.teachers.joint_teacher import teacher_of

_WORTH_TIMING = 500  # pictures to fit baselines on, from which their time is estimated first


@dataclass(frozen=True)
class ScoredOffset:
    """One scored offset.

    offset: as its file contains it, with its earlier score. score: the new one, in the form of `score_offset`.
    same_teacher: whether the offset was fitted on the teacher that it is scored against.
    """

    offset: Offset
    score: dict[str, Any]
    same_teacher: bool


def score_offsets(
    offsets: Sequence[str | Path] = (),
    *,
    types: Sequence[str] = (),
    generator: str | Path | None = None,
    teacher: str = "bundled",
    holdout: int = 256,
    split: str = "holdout",
    cache: str | Path | None = None,
    device: str = "cpu",
    backend: str = AUTO,
    threads: int | None = None,
    progress: Progress = SILENT,
    on_scored: Callable[[ScoredOffset], None] | None = None,
) -> list[ScoredOffset]:
    """Score offsets on held-out seeds, beside baselines fitted on the pictures that the offsets were fitted on.

    offsets: offset files; or types: names of bundled offsets, or `all`. cache: folder that keeps the teacher's targets
    and the fitted baselines; None keeps the baselines alone, in the folder of `user_cache`. The other parameters are
    those of `train_offsets`. on_scored: called with each report once it is computed. Returns one report per offset;
    offsets that were fitted on the same pictures share pools and follow each other.

    Raises UserError for an offset of another generator, and for a type or class names that the teacher does not have.

    >>> from sgi.trainer.offsets.rescore import score_offsets
    >>> [albedo] = score_offsets(types=["albedo"], holdout=64)  # at first a minute: baselines need the fitting pictures
    >>> albedo.score["best_baseline"], albedo.same_teacher
    ('pixel_affine', True)
    """
    if offsets and types:
        raise UserError("`types` and `offsets`: pass only one of the two; an offset file contains its type")
    if cache is not None:
        check_writable(cache, "cache", folder=True, make=True)
    paths = offsets or _bundled_offsets(types)
    network = open_generator(generator, find_device(device, threads), backend)
    sha256 = generator_sha256(network)
    loaded = teachers.load_teacher(teacher, device)
    files = [Offset.load(path) for path in paths]
    for offset in files:
        offset.check_generator(sha256)
        target_type(loaded, offset.intrinsic)
    store = BaselinesCache(cache)
    groups: dict[object, list[Offset]] = {}
    for offset in files:
        groups.setdefault((sampling_of(offset), pool_facts(offset)), []).append(offset)
    reports = []
    for group in groups.values():
        sampling, names = sampling_of(group[0]), list(dict.fromkeys(offset.type for offset in group))
        images, stream = pool_facts(group[0])
        fitting_range, held_range = fitting_seeds(images, stream), scoring_seeds(holdout, split)
        facts = {
            name: baseline_facts(name, sha256, teacher_of(loaded, name).sha256, sampling, fitting_range)
            for name in names
        }
        fitted = {name: found for name in names if (found := store.load(facts[name]))}
        missing = [name for name in names if name not in fitted]
        progress.message(_announced(missing, images, holdout, store))
        if missing and images >= _WORTH_TIMING:
            seconds = time_picture(network, loaded, missing, sampling) * (images + holdout)
            progress.message(f"about {max(1, round(seconds / 60))} min on an idle machine")
        with progress.stage("pictures", holdout + (images if missing else 0)) as stage:
            held = build_pool(network, loaded, names, held_range, sampling, stage.advance, cache)
            if missing:
                pool = build_pool(network, loaded, missing, fitting_range, sampling, stage.advance, cache)
        for name in missing:
            fitted[name] = FittedBaselines.fit(pool, name)
            store.store(facts[name], fitted[name])
        for offset in group:
            score = score_offset(network, loaded, offset, fitted[offset.type], held, split)
            same_teacher = offset.teacher.get("sha256") == score["teacher"]["sha256"]
            reports.append(ScoredOffset(offset, score, same_teacher))
            if on_scored:
                on_scored(reports[-1])
    return reports


def _bundled_offsets(types: Sequence[str] | None) -> list[Path]:
    """Files of the bundled offsets of `types`; `all` stands for those of its types that are bundled."""
    paths = {name: bundle.offset(name) for name in chosen_types(types, None)}
    return [path for name, path in paths.items() if name in (types or ()) or path.exists()]


def _announced(missing: Sequence[str], images: int, holdout: int, store: BaselinesCache) -> str:
    if not missing:
        return f"{holdout} pictures to score on; the baselines are read from {store.folder}"
    return (
        f"{holdout} pictures to score on and {images} to fit the baselines of {', '.join(missing)} on; these are kept "
        f"in {store.folder}"
    )
