"""The inputs that studies share: a generator, its offsets, its sampling, the precision, and part of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError, warn_cutoff
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.offsets import Offset
from sgi.trainer.device import preferred_precision
from sgi.trainer.offsets.pool import Pool, Sampling


def open_offsets(paths: Sequence[Path], generator_path: Path | None, generator: Generator) -> list[Offset]:
    """The offsets in files that were fitted on `generator`.

    paths: empty for the bundled offsets of depth, normals, albedo and shading where `generator_path` is None, and for
    none elsewhere. Raises UserError for a file that is no offset, a second offset of a type, and an offset of another
    generator.
    """
    if not paths and generator_path is None:
        paths = [path for name in intrinsics.MAP_TYPES if (path := bundle.offset(name)).exists()]
    sha256 = generator_sha256(generator)
    offsets = [Offset.load(path) for path in paths]
    seen: set[str] = set()
    for path, offset in zip(paths, offsets, strict=True):
        offset.check_generator(sha256)
        if offset.type in seen:
            raise UserError(f"`offsets={path}`: a second offset of type {offset.type}; pass one per type")
        seen.add(offset.type)
    return offsets


def study_sampling(
    generator_path: Path | None, psi: float, cutoff: int | None, noise_mode: str | None, class_index: int | None
) -> Sampling:
    """The sampling of a study; noise_mode None is none for the bundled generator and const for others."""
    warn_cutoff(psi, cutoff)
    return Sampling(psi, cutoff, noise_mode or ("const" if generator_path else "none"), class_index)


def study_precision(precision: str | None, device: torch.device) -> str:
    """`precision`, or the preferred one of the device."""
    return precision or preferred_precision(device)


def first_pictures(pool: Pool, count: int) -> Pool:
    """The pool of the first `count` pictures of a pool."""
    codes = {name: maps[:count] for name, maps in pool.codes.items()}
    return replace(pool, seeds=pool.seeds[:count], ws=pool.ws[:count], images=pool.images[:count], codes=codes)
