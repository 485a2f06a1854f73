"""`sgi-engine train-generator`: train a small StyleGAN2 on procedural rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, Quiet, Threads
from sgi.cli.terminal import echo
from sgi.engine import bundle


def train_generator(
    workdir: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, samples, log, ema.safetensors.")],
    preset: Annotated[
        str, typer.Option(help="rooms-64 (for a CPU), rooms-64-wide or rooms-128 (for a GPU), or tiny (for a test).")
    ] = "rooms-64",
    hours: Annotated[float | None, typer.Option(help="Budget in hours of training. Default: the preset's.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Budget in thousands of images. Default: the preset's.")] = None,
    threads: Threads = None,
    device: Device = "cpu",
    resume: Annotated[bool, typer.Option(help="Continue from the checkpoint in --workdir, if there is one.")] = True,
    data: Annotated[Path | None, typer.Option(help="Folder of rendered rooms. Default: rooms in --workdir.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Teacher file: the log contains distances to held-out rooms in its features.")
    ] = bundle.TEACHER,
    generator: Annotated[
        Path | None, typer.Option(help="Start from this generator, an ema.safetensors; needs --discriminator.")
    ] = None,
    discriminator: Annotated[
        Path | None, typer.Option(help="The discriminator.safetensors of the same run as --generator.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Rooms to train on. Default: the preset's.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="CPU processes that render missing rooms; 0: on --device.")] = 0,
    quiet: Quiet = False,
) -> None:
    """Train a generator on rooms; stop and continue at will with Ctrl-C and the same command."""
    from sgi.cli.progress import progress
    from sgi.trainer.gan import generator_run

    with progress(quiet) as shown:
        trained = generator_run.train_generator(
            workdir, preset, kimg=kimg, hours=hours, count=count, data=data, teacher=teacher, generator=generator,
            discriminator=discriminator, device=device, threads=threads, resume=resume, workers=workers,
            progress=shown,
        )  # fmt: skip
    echo(f"{trained.kimg:.1f} kimg trained; generator in {trained.file}")
