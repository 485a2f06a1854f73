"""Score existing offset files; the function behind `sgi-engine score`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.generator import checkpoints, generator_sha256
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.chosen_types import chosen_types
from sgi.trainer.offsets.job import make_pools, pool_facts, sampling_of, score_offset
from sgi.trainer.teachers.classes import target_type


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
    threads: int | None = None,
    progress: Progress = SILENT,
    on_scored: Callable[[ScoredOffset], None] | None = None,
) -> list[ScoredOffset]:
    """Score offsets on held-out seeds, beside baselines fitted on the pictures that the offsets were fitted on.

    offsets: offset files; or types: names of bundled offsets, or `all`. The other parameters are those of
    `train_offsets`. on_scored: called with each report once it is computed. Returns one report per offset; offsets
    that were fitted on the same pictures share pools and follow each other.

    Raises UserError for an offset of another generator, and for a type or class names that the teacher does not have.

    >>> from sgi.trainer.offsets.rescore import score_offsets
    >>> [albedo] = score_offsets(types=["albedo"], holdout=64)  # a minute: the baselines need the fitting pictures
    >>> albedo.score["best_baseline"], albedo.same_teacher
    ('pixel_affine', True)
    """
    if offsets and types:
        raise UserError("`types` and `offsets`: pass only one of the two; an offset file contains its type")
    paths = offsets or _bundled_offsets(types)
    network = checkpoints.load(generator or bundle.GENERATOR, find_device(device, threads))
    sha256 = generator_sha256(network)
    loaded = teachers.load_teacher(teacher, device)
    files = [Offset.load(path) for path in paths]
    for offset in files:
        offset.check_generator(sha256)
        target_type(loaded, offset.intrinsic)
    groups: dict[object, list[Offset]] = {}
    for offset in files:
        groups.setdefault((sampling_of(offset), pool_facts(offset)), []).append(offset)
    reports = []
    for group in groups.values():
        (images, stream), names = pool_facts(group[0]), [offset.type for offset in group]
        sampling = sampling_of(group[0])
        pools = make_pools(network, loaded, names, sampling, images, holdout, stream, split, cache, progress)
        for offset in group:
            score = score_offset(network, loaded, offset, pools)
            same_teacher = offset.teacher.get("sha256") == score["teacher"]["sha256"]
            reports.append(ScoredOffset(offset, score, same_teacher))
            if on_scored:
                on_scored(reports[-1])
    return reports


def _bundled_offsets(types: Sequence[str] | None) -> list[Path]:
    """Files of the bundled offsets of `types`; `all` stands for those of its types that are bundled."""
    paths = {name: bundle.offset(name) for name in chosen_types(types, {})}
    return [path for name, path in paths.items() if name in (types or ()) or path.exists()]
