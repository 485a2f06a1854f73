"""`sgi-engine invert`: find the latents of a user's pictures, and their maps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import (
    Device,
    GeneratorFile,
    OffsetFiles,
    PictureBackend,
    Precision,
    Quiet,
    Threads,
    class_option,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import echo, new_console


def invert(
    pictures: Annotated[list[Path], typer.Argument(help="PNG or JPEG files; the middle square of each is taken.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("inverted"),
    generator: GeneratorFile = None,
    offsets: OffsetFiles = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 200,
    prior: Annotated[float, typer.Option(help="Penalty on latents far from those of samples; 0 is none.")] = 0.03,
    rows: Annotated[float, typer.Option(help="Penalty on rows of w+ that differ; 0 is none.")] = 0.3,
    noise_mode: Annotated[
        str | None, typer.Option(help="none or const, where no offset is given. Default: const.")
    ] = None,
    class_index: Annotated[
        int | None, class_option("Class of a conditional generator, one, where no offset is given.")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png or npy, of the maps.")] = "png",
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    threads: Threads = None,
    precision: Precision = None,
    quiet: Quiet = False,
) -> None:
    """Find the latents of your own pictures and their maps. Beyond the paper, which is about generated pictures.

    A generator can only reproduce pictures like those it was trained on: the bundled one, rooms. The PSNR measures how
    well it reproduces each picture. Where it is low, the maps are those of another picture. The last line
    of the output is the command that computes maps of the latents.
    """
    from sgi.engine.files import check_writable
    from sgi.engine.writers import get_format
    from sgi.trainer.offsets.open_generator import ran_on
    from sgi.trainer.studies.truth import InversionSettings
    from sgi.trainer.studies.truth import invert as study

    # Both raise before the search rather than after it.
    get_format(file_format)
    check_writable(out, folder=True, make=True)
    settings = InversionSettings(
        pictures=tuple(pictures), generator=generator, offsets=tuple(offsets or ()), steps=steps, prior=prior,
        rows=rows, noise_mode=noise_mode, class_index=class_index, device=device, backend=backend,
        threads=threads, precision=precision,
    )  # fmt: skip
    with progress(quiet) as receiver:
        report = study(settings, receiver)
    preview = report.write(out, file_format)
    console = new_console()
    for index, path in enumerate(pictures):
        note = "" if report.is_faithful(index) else "; low: the maps are those of another picture"
        console.print(f"{path}: PSNR {report.inversion.psnr[index].item():.1f} dB{note}")
    console.print(f"Pictures by {ran_on(device, backend)}.")
    console.print(
        f"wrote {out}, see {preview}. The paper is about generated pictures; no teacher has checked these maps."
    )
    echo(f"maps of these latents: {shlex.join(report.run_command(out, settings))}")
