"""A pool: the latents of some seeds, their pictures and the teacher's targets, computed once and kept in memory.

Fits make several passes over a fixed pool, so the teacher and the generator without an offset run once per picture,
and a step computes G(w + d) only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.arguments import check_psi
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.seeds import latents
from sgi.trainer.offsets.code_cache import CodeCache, blocks
from sgi.trainer.offsets.teacher_targets import PoolTargets
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.joint_teacher import teacher_of

RENDER_BATCH = 32
# Halves the memory. Rounding a code costs 1.4e-4 rms, a hundredth of the error of any teacher.
STORED = torch.float16


@dataclass(frozen=True)
class Sampling:
    """How seeds become latents w+ and pictures.

    psi, cutoff: truncation; cutoff is the number of truncated rows, None for all. noise_mode: none or const, because
    with random noise a seed has no fixed picture. class_index: the class of a conditional generator, else None.
    Raises UserError, naming `noise_mode`.
    """

    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: str = "none"
    class_index: int | None = None

    def __post_init__(self) -> None:
        if self.noise_mode not in ("none", "const"):
            raise UserError(f"`noise_mode={self.noise_mode}`: offsets are fitted with none or const")

    def check(self, generator: Generator) -> None:
        """Raise UserError unless the generator supports this sampling and its pictures are grey or RGB."""
        check_psi(self.psi)
        config = generator.config
        if config.img_channels not in (1, 3):
            raise UserError(
                f"`generator`: its pictures have {config.img_channels} channels, and teachers take grey or RGB pictures"
            )
        if config.c_dim and self.class_index is None:
            raise UserError(
                f"`class_index` is missing: the generator has {config.c_dim} classes, 0 to {config.c_dim - 1}"
            )
        if not config.c_dim and self.class_index is not None:
            raise UserError("`class_index`: the generator is unconditional; do not pass it")
        if self.class_index is not None and not 0 <= self.class_index < config.c_dim:
            raise UserError(f"`class_index={self.class_index}`: the generator's classes are 0 to {config.c_dim - 1}")

    def ws(self, generator: Generator, seeds: Sequence[int]) -> Tensor:
        """Return truncated w+ [N, num_ws, w_dim] float32 of seeds, on the generator's device."""
        config = generator.config
        device = generator.mapping.w_avg.device
        z = torch.from_numpy(latents(seeds, config.z_dim)).float().to(device)
        label = None
        if self.class_index is not None:
            index = torch.full((len(z),), self.class_index, device=device)
            label = F.one_hot(index, config.c_dim).float()
        return generator.map(z, label, self.psi, self.cutoff)


@dataclass(frozen=True)
class Pool:
    """Latents with pictures and targets, on the CPU.

    seeds, sampling: of the latents. ws: [N, num_ws, w_dim] float32, truncated. images: [N, C, R, R] float16, G(w) in
    [0, 1], grey or RGB. codes: by name of type, the teacher's targets as display codes [N, C, R, R] float16 in [0, 1].
    half: whether the teacher computed targets in half precision, see `PoolTargets`.
    """

    seeds: range
    sampling: Sampling
    ws: Tensor
    images: Tensor
    codes: dict[str, Tensor]
    half: bool = False

    def __len__(self) -> int:
        return len(self.seeds)


@torch.no_grad()
def build_pool(
    generator: Generator,
    teacher: Teacher,
    types: Sequence[str],
    seeds: range,
    sampling: Sampling,
    on_pictures: Callable[[int], None] | None = None,
    cache: str | Path | None = None,
) -> Pool:
    """Draw latents, render their pictures and compute the teacher's targets of `types`, which are names.

    on_pictures: called with the number of pictures of each finished batch. cache: folder of earlier targets, see
    `code_cache`; the pool is the same with it and without. Raises UserError for a type that the teacher does not
    support, a sampling that the generator does not support, and a cache folder that cannot be written.
    """
    sampling.check(generator)
    for name in types:
        if name not in teacher.types:
            raise UserError(f"`types={name}`: teacher {teacher.name} supports only {', '.join(teacher.types)}")
    stores = _open_caches(cache, generator, teacher, sampling, types) if cache else {}
    side, targets = generator.config.resolution, PoolTargets(teacher)
    all_ws, images = [], []
    codes: dict[str, list[Tensor]] = {name: [] for name in types}
    for block in blocks(seeds):
        cached = {name: store.load(block, (side, side)) for name, store in stores.items()}
        done = {name: part for name, part in cached.items() if part is not None}
        missing: dict[str, list[Tensor]] = {name: [] for name in types if name not in done}
        for start in range(0, len(block), RENDER_BATCH):
            ws = sampling.ws(generator, block[start : start + RENDER_BATCH])
            image = (generator.synthesize(ws, sampling.noise_mode) * 0.5 + 0.5).clamp(0, 1)
            all_ws.append(ws.cpu())
            images.append(image.to("cpu", STORED))
            target = targets(image, list(missing)) if missing else {}
            for name, parts in missing.items():
                parts.append(target[name].to("cpu", STORED))
            if on_pictures:
                on_pictures(len(ws))
        for name, parts in missing.items():
            done[name] = torch.cat(parts)
            if name in stores:
                stores[name].store(block, done[name])
        for name in types:
            codes[name].append(done[name])
    joined = {name: torch.cat(parts) for name, parts in codes.items()}
    return Pool(seeds, sampling, torch.cat(all_ws), torch.cat(images), joined, bool(targets.half))


def _open_caches(
    cache: str | Path, generator: Generator, teacher: Teacher, sampling: Sampling, types: Sequence[str]
) -> dict[str, CodeCache]:
    """Return the cache of each type; for joint teachers, under the hash of the member that supports the type."""
    facts = {"generator": generator_sha256(generator), "sampling": asdict(sampling)}
    return {name: CodeCache(cache, name, facts | {"teacher": teacher_of(teacher, name).sha256}) for name in types}
