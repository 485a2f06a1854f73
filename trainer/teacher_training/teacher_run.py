"""Train a teacher on rendered rooms and write its file; the function behind `sgi-engine train-teacher`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sgi.engine.errors import UserError
from sgi.engine.files import check_writable
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.device import find_device, preferred_precision
from sgi.trainer.scenes import CLASSES
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.scenes.variety import RICH, get_variety
from sgi.trainer.teacher_training.contact_sheet import write_sheet
from sgi.trainer.teacher_training.fit_unet import FitConfig, Run, fit_unet
from sgi.trainer.teacher_training.held_out_errors import Errors, held_out_errors
from sgi.trainer.teachers.unet import UNetConfig
from sgi.trainer.teachers.unet_teacher import UNetTeacher, rounded, save_unet_teacher

SHEET = "held-out.png"
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
"""Storage of a teacher file -> dtype of its tensors."""


@dataclass(frozen=True)
class RoomSource:
    """The rooms of a run: side in pixels, and number and seed of the rooms to train on and of the held-out rooms."""

    size: int = 64
    count: int = 40960
    seed: int = 0
    held_out_count: int = 512
    held_out_seed: int = 10_007
    variety: str = RICH.name


def train_teacher(
    out: str | Path,
    workdir: str | Path,
    data: str | Path,
    *,
    steps: int = 4500,
    batch: int = 16,
    seed: int = 0,
    rooms: int = 40960,
    size: int = 64,
    data_seed: int = 0,
    held_out: int = 512,
    storage: str = "fp16",
    name: str = "rooms-unet",
    device: str = "cpu",
    threads: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Errors]:
    """Train a U-Net teacher, write it to `out`, and return its `held_out_errors`.

    workdir: folder of the run, which resumes: state, log, held-out rooms, and `held-out.png` with predictions for them.
    data: folder of rendered rooms; missing ones are rendered. steps: optimiser steps. batch: rooms per step. seed: of
    the initial weights and of all random draws. rooms, size, data_seed: number of rooms to train on, side in pixels (a
    multiple of 8), and their seed. held_out: number of rooms of another seed to measure on. storage: fp16 or fp32, the
    precision of the file. name: of the teacher in reports.
    Raises UserError for invalid values, and if `workdir` or `data` contains a run or rooms with other settings.
    """
    source = RoomSource(size, rooms, data_seed, held_out)
    if source.seed == source.held_out_seed:
        raise UserError(f"`data_seed={data_seed}`: the held-out rooms have this seed; choose another")
    if storage not in DTYPES:
        raise UserError(f"`storage={storage}`: choose {' or '.join(DTYPES)}")
    try:
        shape = UNetConfig(CLASSES, resolution=size)
    except ValueError as error:
        raise UserError(f"`size={size}`: {error}") from None
    torch_device = find_device(device, threads)
    config = FitConfig(steps=steps, batch=batch, seed=seed, precision=preferred_precision(torch_device))
    folder = Path(workdir)
    check_writable(folder, "workdir", folder=True, make=True)
    folder.mkdir(parents=True, exist_ok=True)
    check_writable(out)
    render = partial(
        load_or_render, size=size, device=torch_device, variety=get_variety(source.variety), progress=progress
    )
    training_rooms = render(data, source.count, seed=source.seed)
    held_out_rooms = render(folder / "held-out", source.held_out_count, seed=source.held_out_seed)
    run = fit_unet(training_rooms, shape, config, folder, torch_device, progress=progress)
    net = rounded(run.net, DTYPES[storage]).to(torch_device)
    teacher = UNetTeacher(net, name)
    errors = held_out_errors(teacher, held_out_rooms, device=torch_device)
    save_unet_teacher(out, net, name, _notes(source, config, run, errors), DTYPES[storage])
    write_sheet(folder / SHEET, teacher, held_out_rooms)
    return errors


def _notes(source: RoomSource, config: FitConfig, run: Run, errors: dict[str, Errors]) -> dict[str, Any]:
    return {
        "rooms": asdict(source),
        "fit": asdict(config),
        "last_losses": run.log[-1],
        "held_out": {row: {key: round(value, 6) for key, value in column.items()} for row, column in errors.items()},
    }
