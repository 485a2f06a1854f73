"""A pool: latents of some seeds, their pictures, and what the teacher tells about them, made once and kept in memory.

Fits make several passes over a fixed pool, so the teacher and the plain generator run once per picture and a step
pays for G(w + d) alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.seeds import latents
from sgi.trainer.offsets.code_cache import CodeCache, blocks
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.joint_teacher import teacher_of

RENDER_BATCH = 32
# Rounding a code to float16 costs 1.4e-4 rms, a hundredth of the error of any teacher, and halves the memory.
STORED = torch.float16


@dataclass(frozen=True)
class Sampling:
    """How latents become w+ and pictures.

    psi, cutoff: truncation. noise_mode: none or const; random noise would not let a seed's picture be made again.
    class_index: the class of a class-conditional generator, None for others.
    """

    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: str = "none"
    class_index: int | None = None

    def __post_init__(self) -> None:
        if self.noise_mode not in ("none", "const"):
            raise UserError(f"--noise-mode {self.noise_mode}: an offset is fitted under none or const")

    def check(self, generator: Generator) -> None:
        """Raise UserError unless the generator can be sampled in this way and its pictures are RGB."""
        config = generator.config
        if config.img_channels != 3:
            raise UserError(f"--generator: its pictures have {config.img_channels} channels, offsets need RGB")
        if config.c_dim and self.class_index is None:
            raise UserError(f"--class is missing: the generator has {config.c_dim} classes, 0 to {config.c_dim - 1}")
        if not config.c_dim and self.class_index is not None:
            raise UserError("--class: the generator is unconditional; drop the flag")
        if self.class_index is not None and not 0 <= self.class_index < config.c_dim:
            raise UserError(f"--class {self.class_index}: the generator's classes are 0 to {config.c_dim - 1}")

    def ws(self, generator: Generator, seeds: Sequence[int]) -> Tensor:
        """w+ [N, num_ws, w_dim] float32 of seeds, on the generator's device, truncated."""
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
    """Latents with pictures and codes, on the CPU.

    seeds: of the latents. sampling: how they were drawn. ws: [N, num_ws, w_dim] float32, truncated.
    images: [N, 3, R, R] float16, G(w) in [0, 1]. codes: by type, [N, C, R, R] float16, the teacher's, in [0, 1].
    """

    seeds: range
    sampling: Sampling
    ws: Tensor
    images: Tensor
    codes: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.seeds)


def ask(teacher: Teacher, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
    """What a teacher tells about pictures [N, 3, H, W] in [0, 1], brought into its input range."""
    low, high = teacher.input_range
    return teacher(image * (high - low) + low, types)


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
    """Draw, render and ask the teacher; `on_pictures` hears how many pictures each batch added.

    cache: folder of what teachers told before, see `code_cache`; the pool is the same with it and without.
    Raises UserError for a type the teacher cannot tell, a sampling the generator does not fit, or a cache that cannot
    be written.
    """
    sampling.check(generator)
    for name in types:
        if name not in teacher.types:
            raise UserError(f"--type {name}: teacher {teacher.name} tells only {', '.join(teacher.types)}")
    stores = _open_caches(cache, generator, teacher, sampling, types) if cache else {}
    side = generator.config.resolution
    all_ws, images = [], []
    codes: dict[str, list[Tensor]] = {name: [] for name in types}
    for block in blocks(seeds):
        known = {name: store.load(block, (side, side)) for name, store in stores.items()}
        kept = {name: part for name, part in known.items() if part is not None}
        target: dict[str, list[Tensor]] = {name: [] for name in types if name not in kept}
        for start in range(0, len(block), RENDER_BATCH):
            ws = sampling.ws(generator, block[start : start + RENDER_BATCH])
            image = (generator.synthesize(ws, sampling.noise_mode) * 0.5 + 0.5).clamp(0, 1)
            all_ws.append(ws.cpu())
            images.append(image.to("cpu", STORED))
            answer = ask(teacher, image, list(target)) if target else {}
            for name, parts in target.items():
                parts.append(answer[name].to("cpu", STORED))
            if on_pictures:
                on_pictures(len(ws))
        for name, parts in target.items():
            kept[name] = torch.cat(parts)
            if name in stores:
                stores[name].store(block, kept[name])
        for name in types:
            codes[name].append(kept[name])
    return Pool(
        seeds, sampling, torch.cat(all_ws), torch.cat(images), {name: torch.cat(parts) for name, parts in codes.items()}
    )


def _open_caches(
    cache: str | Path, generator: Generator, teacher: Teacher, sampling: Sampling, types: Sequence[str]
) -> dict[str, CodeCache]:
    """The cache of each type. Under the member's hash where the teacher is a panel: what it told alone counts, too."""
    facts = {"generator": generator_sha256(generator), "sampling": asdict(sampling)}
    return {name: CodeCache(cache, name, facts | {"teacher": teacher_of(teacher, name).sha256}) for name in types}
