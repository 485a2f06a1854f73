"""`sgi-engine ablate`: what a map depends on, as a table, a JSON file and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import (
    Batch,
    ClassIndex,
    Cutoff,
    Device,
    DryRun,
    GeneratorFile,
    Holdout,
    NoiseMode,
    PictureBackend,
    Precision,
    Quiet,
    Threads,
    Trunc,
    types_option,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console


def ablate(
    what: Annotated[
        str,
        typer.Option(help="spaces (w, w+, style, lora), rows (of w+), images (to fit on) or alpha (times the offset)."),
    ],
    types: Annotated[
        list[str] | None, types_option("Maps to fit, such as depth,normal. Default: depth and albedo.")
    ] = None,
    generator: GeneratorFile = None,
    teacher: Annotated[str, typer.Option(help="`bundled`, or another spec of `train`.")] = "bundled",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of every fit.")] = 400,
    batch: Batch = 16,
    images: Annotated[int, typer.Option(min=2, help="Pictures to fit on; the most that --what images tries.")] = 2000,
    holdout: Holdout = 256,
    psi: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    seed: Annotated[int, typer.Option(help="Stream and order of the pictures to fit on.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of results and fits; other ablations there share the fits.")] = (
        Path("ablations")
    ),
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    threads: Threads = None,
    precision: Precision = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Measure how a map depends on its offset's space, rows and length, and on the number of pictures.

    After Ctrl-C, the same command resumes.
    """
    from sgi.trainer.offsets.open_generator import ran_on
    from sgi.trainer.studies.ablations import AblationSettings, plan_ablation
    from sgi.trainer.studies.ablations import ablate as study
    from sgi.trainer.studies.ablations.ablation_study import DEFAULT_TYPES

    settings = AblationSettings(
        what=what, types=tuple(types or DEFAULT_TYPES), generator=generator, teacher=teacher, steps=steps, batch=batch,
        images=images, holdout=holdout, psi=psi, cutoff=cutoff, noise_mode=noise_mode, class_index=class_index,
        seed=seed, out=out, device=device, backend=backend, threads=threads, precision=precision,
    )  # fmt: skip
    console = new_console()
    if dry_run:
        console.print(str(plan_ablation(settings)))
        return
    with progress(quiet) as receiver:
        report = study(settings, receiver)
    plot, figures = report.write(out)
    console.print(report.table())
    console.print(f"wrote {plot} and {figures} ({ran_on(device, backend)})")
