"""`sgi-engine relight`: find directions that change the light, and measure how maps change with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, GeneratorFile, OffsetFiles, PictureBackend, Precision, Quiet, Threads
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console


def relight(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("relit"),
    directions: Annotated[
        Path | None, typer.Option(help="Directions to measure, .npy [K, rows, w_dim]. Default: find them.")
    ] = None,
    generator: GeneratorFile = None,
    offsets: OffsetFiles = None,
    teacher: Annotated[str, typer.Option(help="`bundled`, or another spec of `train`.")] = "bundled",
    count: Annotated[int | None, typer.Option(min=2, help="Directions to find. Default: 8.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of the search. Default: 200.")] = None,
    keep: Annotated[
        float | None, typer.Option(help="Penalty on changes of albedo; a higher one finds weaker lights. Default: 20.")
    ] = None,
    from_layer: Annotated[
        int | None, typer.Option(min=0, help="First row of w+ that a direction may move. Default: 3.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the search. Default: 0.")] = None,
    scenes: Annotated[int, typer.Option(min=2, help="Held-out seeds, and rooms, to measure on.")] = 32,
    variety: Annotated[str, typer.Option(help="Variety of the rooms, that of the generator's training.")] = "calm",
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    threads: Threads = None,
    precision: Precision = None,
    quiet: Quiet = False,
) -> None:
    """Find directions that change the light, and measure how maps change with it.

    The spread of G(w + relight + d) over lights stands beside the teacher's on the same relit pictures, and on rooms
    that the renderer lit anew.
    """
    from sgi.trainer.offsets.open_generator import ran_on
    from sgi.trainer.studies.relighting import RelightingSettings
    from sgi.trainer.studies.relighting import relight as study
    from sgi.trainer.studies.relighting.spread import RELATIVE, SPREAD

    settings = RelightingSettings(
        out=out, directions=directions, generator=generator, offsets=tuple(offsets or ()), teacher=teacher, count=count,
        steps=steps, keep=keep, from_layer=from_layer, seed=seed, scenes=scenes, variety=variety, device=device,
        backend=backend, threads=threads, precision=precision,
    )  # fmt: skip
    with progress(quiet) as receiver:
        report = study(settings, receiver)
    report.write(out)
    measured = report.measured
    console = new_console()
    title = f"{measured.lights} lights, {measured.scenes} scenes, 95 % intervals"
    console.print(measured.figures.table((SPREAD, RELATIVE), title))
    checks = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in measured.checks.items())
    console.print(f"Checks: {checks} (ratios: spread of the directions over that of the renderer's lights).")
    console.print(f"wrote {out} ({ran_on(device, backend)})")
