"""`sgi-engine train-generator`: train a small StyleGAN2 on procedural rooms."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, Threads
from sgi.engine import bundle


def train_generator(
    workdir: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, samples, log, ema.safetensors.")],
    preset: Annotated[
        str, typer.Option(help="rooms-64 (a CPU), rooms-64-wide or rooms-128 (a GPU), or tiny (a test).")
    ] = "rooms-64",
    hours: Annotated[float | None, typer.Option(help="Stop after this training time, decaying the rate.")] = None,
    kimg: Annotated[float | None, typer.Option(help="Stop after this many thousand images.")] = None,
    threads: Threads = None,
    device: Device = "cpu",
    resume: Annotated[bool, typer.Option(help="Continue from the checkpoint in --workdir, if there is one.")] = True,
    data: Annotated[Path | None, typer.Option(help="Folder of rendered rooms. Default: rooms in --workdir.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Teacher file: log the distance to held-out rooms in its features.")
    ] = bundle.TEACHER,
    generator: Annotated[
        Path | None, typer.Option(help="Start from this generator, an ema.safetensors, and from --discriminator.")
    ] = None,
    discriminator: Annotated[
        Path | None, typer.Option(help="The discriminator.safetensors that the run of --generator wrote beside it.")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Rooms to train on. Default: the preset's.")] = None,
) -> None:
    """Train a generator on rooms; stop and continue at will with Ctrl-C and the same command."""
    from sgi.trainer.gan.generator_run import configure, run

    config = configure(preset, kimg, hours, count)
    typer.echo(run(config, workdir, data, device, threads, resume, teacher, generator, discriminator))
