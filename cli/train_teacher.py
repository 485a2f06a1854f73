"""`sgi-engine train-teacher`: train the U-Net teacher on rendered rooms and say how far off it is."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device


class Storage(str, Enum):
    """Precision of the tensors in a teacher file."""

    fp16 = "fp16"
    fp32 = "fp32"


def train_teacher(
    out: Annotated[Path, typer.Option(help="Teacher file to write (.safetensors).")],
    workdir: Annotated[Path, typer.Option(help="Folder of the run, which resumes: state, log, held-out rooms.")],
    data: Annotated[Path, typer.Option(help="Folder of rendered rooms; what is missing is rendered.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 4500,
    batch: Annotated[int, typer.Option(min=1, help="Rooms a step.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initial weights and of every draw.")] = 0,
    rooms: Annotated[int, typer.Option(min=1, help="Rooms to train on.")] = 40960,
    size: Annotated[int, typer.Option(min=16, help="Side of the pictures in pixels, a multiple of 8.")] = 64,
    data_seed: Annotated[int, typer.Option(min=0, help="Seed of the rooms.")] = 0,
    held_out: Annotated[int, typer.Option(min=1, help="Rooms of another seed to measure on.")] = 512,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default torch decides.")] = None,
    device: Device = "cpu",
    storage: Annotated[Storage, typer.Option(help="Precision of the file's tensors.")] = Storage.fp16,
    name: Annotated[str, typer.Option(help="What reports call the teacher.")] = "rooms-unet",
) -> None:
    """Train the U-Net teacher on rendered rooms, measure it on held-out ones and write its file."""
    import torch
    from rich.console import Console

    from sgi.trainer.device import find_device, preferred_precision
    from sgi.trainer.teacher_training.evaluate import error_table
    from sgi.trainer.teacher_training.fit_unet import FitConfig
    from sgi.trainer.teacher_training.recipe import SHEET, RoomSource, make_teacher

    where = find_device(device, threads)
    errors = make_teacher(
        out,
        workdir,
        data,
        RoomSource(size, rooms, data_seed, held_out),
        FitConfig(steps=steps, batch=batch, seed=seed, precision=preferred_precision(where)),
        name,
        torch.float16 if storage is Storage.fp16 else torch.float32,
        where,
    )
    console = Console()
    console.print(error_table(errors))
    console.print(f"wrote {out}; see {workdir / SHEET}")
