"""A whole fit by the functions of `sgi-engine train`: pool, steps, preconditioner, scores; by torch or the kernels.

The generator has random weights, and the teacher is the bundled one, so the loss has no meaning beyond its agreement.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import clock
import torch
from workload import Size, build

from sgi.engine.generator import save_generator
from sgi.trainer import teachers
from sgi.trainer.offsets.fit import FitSettings, fit
from sgi.trainer.offsets.held_out_score import predict
from sgi.trainer.offsets.open_generator import open_generator
from sgi.trainer.offsets.pool import RENDER_BATCH, Sampling, build_pool
from sgi.trainer.offsets.seed_splits import fitting_seeds
from sgi.trainer.teachers.classes import target_type

TYPE = "depth"
IMAGES, STEPS = 512, 300
"""The preconditioner of step 200 is computed in fits of more than 266 steps."""
EVERY = 10
"""Steps between two calls of `on_step`."""
BACKENDS = ("torch", "triton")


@lru_cache(maxsize=1)
def _file(size: Size) -> Path:
    """The file of a generator, in a folder that ends with the process."""
    path = Path(_folder().name) / "generator.safetensors"
    save_generator(path, build(size, "cpu"))
    return path


@lru_cache(maxsize=1)
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory()


def training(size: Size, device: str, backend: str, tiny: bool) -> Iterator[dict[str, Any]]:
    """One fit: pictures of the pool and steps a second, seconds of its parts, its last loss.

    start_seconds: to the tenth step, with compilation and capture. preconditioner_seconds: None without one.
    """
    short = tiny or clock.warming
    images, steps = (RENDER_BATCH if clock.warming else 2, 1) if short else (IMAGES, STEPS)
    generator = open_generator(_file(size), torch.device(device), backend)
    teacher = teachers.load_teacher("bundled", device)
    kind, settings = target_type(teacher, TYPE), FitSettings(steps=steps, batch=size.fit_batch, precision="bf16")
    if not short:
        build_pool(generator, teacher, [TYPE], fitting_seeds(RENDER_BATCH, 1), Sampling())  # warms up
    began = time.monotonic()
    pool = build_pool(generator, teacher, [TYPE], fitting_seeds(images, 0), Sampling())
    pooled = time.monotonic() - began
    marks: list[tuple[float, int, float]] = []
    tensors = fit(generator, pool, kind, settings, on_step=lambda *at: marks.append((time.monotonic(), *at)))
    fitted = time.monotonic() - marks[0][0]
    if clock.warming:
        fit(generator, pool, kind, FitSettings(steps=1, batch=1, precision="bf16"))  # as the preconditioner does
    began = time.monotonic()
    predict(generator, pool, kind, "w+", tensors)
    predicted = time.monotonic() - began
    spans = [later[0] - earlier[0] for earlier, later in pairwise(marks[1:])] or [fitted]
    typical = statistics.median(spans)
    yield {
        "backend": backend, "size": size.name, "batch": size.fit_batch, "images": images, "steps": steps,
        "pictures_per_second": images / pooled, "steps_per_second": min(EVERY, steps) / typical,
        "start_seconds": marks[1][0] - marks[0][0],
        "preconditioner_seconds": None if short else max(spans) - typical,
        "fit_seconds": fitted, "predicted_per_second": images / predicted, "half_teacher": pool.half,
        "loss": marks[-1][2],
    }  # fmt: skip
