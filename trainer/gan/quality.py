"""Distances between generated and rendered rooms, and between two sets of rendered rooms for comparison."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, load_generator, save_generator
from sgi.engine.generator.file import read_header
from sgi.engine.progress import SILENT, Progress
from sgi.engine.seeds import latents
from sgi.trainer.gan.frechet import frechet_distance, kernel_distance
from sgi.trainer.scenes.dataset import RoomDataset, load_or_render
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.teachers.unet_teacher import UNetTeacher

BATCH = 64
# Rooms that no generator or teacher is trained on. The distance between their two halves is that of equal sets.
HELD_OUT_ROOMS = 4096
HELD_OUT_SEED = 20_011


def held_out_rooms(
    folder: str | Path,
    resolution: int,
    variety: str,
    device: torch.device | str = "cpu",
    progress: Progress = SILENT,
    workers: int = 0,
) -> RoomDataset:
    """The rooms that a generator of `variety` is compared with, kept in `folder`; what is missing is rendered."""
    return load_or_render(
        folder,
        HELD_OUT_ROOMS,
        resolution,
        HELD_OUT_SEED,
        device=device,
        variety=get_variety(variety),
        progress=progress,
        workers=workers,
    )


def save_with_quality(
    generator: str | Path,
    out: str | Path,
    teacher: UNetTeacher,
    rooms: str | Path,
    device: torch.device | str = "cpu",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write the generator of a run to `out` in half precision, with its `quality` in the notes; returns the quality.

    generator: a file that `train_generator` wrote. rooms: folder of the held-out rooms. The quality is that of the
    rounded generator. Raises UserError for a file of another origin.
    """
    notes = read_header(generator).notes
    if "kimg" not in notes:
        raise UserError(f"`generator={generator}`: not made by `sgi-engine train-generator`")
    save_generator(out, load_generator(generator), notes, torch.float16)
    network = load_generator(out, device)
    held_out = held_out_rooms(rooms, network.config.resolution, notes["training"]["variety"], device, progress)
    notes["quality"] = quality(network, teacher, held_out)
    notes["licence"] = "Apache-2.0"
    save_generator(out, network, notes, torch.float16)
    found: dict[str, Any] = notes["quality"]
    return found


def quality(generator: Generator, teacher: UNetTeacher, real: RoomDataset) -> dict[str, Any]:
    """The `distances` of a generator; real: an even number of rooms that neither it nor the teacher was trained on."""
    return distances(generator, teacher, real_features(teacher, real))


@torch.no_grad()
def distances(generator: Generator, teacher: UNetTeacher, real: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
    """Distances in the teacher's feature space between generated seeds 0, 1, ... and held-out renders.

    real: the features of both halves of the held-out renders (`real_features`). The generator is compared with the
    first half, by as many seeds; the distance between both halves is the floor. Frechet distances are relative: divided
    by the trace of the real covariance. The kernel distance is KID's estimator. None of them is an FID, which is a
    distance between Inception features.
    """
    first, second = real
    generated = generated_features(generator, teacher, len(first))
    return {
        "images": len(first),
        "frechet": round(frechet_distance(first, generated).relative, 4),
        "frechet_floor": round(frechet_distance(first, second).relative, 4),
        "kernel": round(kernel_distance(first, generated), 4),
        "kernel_floor": round(kernel_distance(first, second), 4),
    }


@torch.no_grad()
def real_features(teacher: UNetTeacher, real: RoomDataset) -> tuple[np.ndarray, np.ndarray]:
    """The teacher's features [N / 2, F] float32 of each half of `real`, N rooms."""
    count = len(real) // 2
    first, second = (
        _features(teacher, (real.images(part) for part in torch.arange(start, start + count).split(BATCH)))
        for start in (0, count)
    )
    return first, second


@torch.no_grad()
def generated_features(generator: Generator, teacher: UNetTeacher, count: int) -> np.ndarray:
    """The teacher's features [count, F] float32 of the pictures of seeds 0, 1, ..."""
    device = generator.mapping.w_avg.device
    z = torch.from_numpy(latents(range(count), generator.config.z_dim)).float()
    return _features(
        teacher, ((generator(part.to(device), noise_mode="none") * 0.5 + 0.5).clamp(0, 1) for part in z.split(BATCH))
    )


def _features(teacher: UNetTeacher, batches: Iterable[Tensor]) -> np.ndarray:
    device = next(teacher.net.parameters()).device
    return torch.cat([teacher.features(batch.to(device)).cpu() for batch in batches]).numpy()
