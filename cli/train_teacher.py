"""`sgi-engine train-teacher`: train the U-Net teacher on rendered rooms and print its errors."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, Quiet
from sgi.cli.terminal import new_console


class Storage(str, Enum):
    """Precision of the tensors in a teacher file."""

    fp16 = "fp16"
    fp32 = "fp32"


def train_teacher(
    out: Annotated[Path, typer.Option(help="Teacher file to write (.safetensors).")],
    workdir: Annotated[Path, typer.Option(help="Folder of the run, which resumes: state, log, held-out rooms.")],
    data: Annotated[Path, typer.Option(help="Folder of rendered rooms; what is missing is rendered.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 4500,
    batch: Annotated[int, typer.Option(min=1, help="Rooms per step.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the initial weights and of all random draws.")] = 0,
    rooms: Annotated[int, typer.Option(min=1, help="Rooms to train on.")] = 40960,
    size: Annotated[int, typer.Option(min=16, help="Side of the pictures in pixels, a multiple of 8.")] = 64,
    data_seed: Annotated[int, typer.Option(min=0, help="Seed of the rooms.")] = 0,
    held_out: Annotated[int, typer.Option(min=1, help="Rooms of another seed to measure on.")] = 512,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads. Default: chosen by torch.")] = None,
    device: Device = "cpu",
    storage: Annotated[Storage, typer.Option(help="Precision of the tensors in the file.")] = Storage.fp16,
    name: Annotated[str, typer.Option(help="Name of the teacher in reports.")] = "rooms-unet",
    quiet: Quiet = False,
) -> None:
    """Train the U-Net teacher on rendered rooms, measure it on held-out ones and write its file."""
    from sgi.cli.progress import progress
    from sgi.trainer.teacher_training import teacher_run
    from sgi.trainer.teacher_training.held_out_errors import error_table

    with progress(quiet) as shown:
        errors = teacher_run.train_teacher(
            out, workdir, data, steps=steps, batch=batch, seed=seed, rooms=rooms, size=size, data_seed=data_seed,
            held_out=held_out, storage=storage.value, name=name, device=device, threads=threads, progress=shown,
        )  # fmt: skip
    console = new_console()
    console.print(error_table(errors))
    console.print(f"wrote {out}; see {workdir / teacher_run.SHEET}")
