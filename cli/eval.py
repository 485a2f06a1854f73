"""`sgi-engine eval`: which maps a generator knows, and which a fit can only force."""

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
    Trunc,
    TypeFiles,
    types_option,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console


def eval(
    types: Annotated[
        list[str] | None,
        types_option(
            "Maps to study, such as depth,normal. Default: every built-in type that the teacher predicts, of masks "
            "mask-bed."
        ),
    ] = None,
    type_files: TypeFiles = None,
    generator: GeneratorFile = None,
    teacher: Annotated[str, typer.Option(help="Teacher to fit to: `bundled`, or a spec as in `train`.")] = "bundled",
    references: Annotated[
        list[str] | None, typer.Option("--reference", help="Another teacher to score against as well; repeat it.")
    ] = None,
    offsets: Annotated[
        Path | None, typer.Option(help="Folder of existing offsets to score too. Default: the bundled generator's.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of every fit.")] = 600,
    fits: Annotated[int, typer.Option(min=1, help="Fits of every map, each on other pictures.")] = 3,
    control_fits: Annotated[
        int | None, typer.Option(min=1, help="Fits of every other row, each on other pictures. Default: 1.")
    ] = None,
    controls: Annotated[bool, typer.Option(help="Fit controls, without which no verdict is given.")] = True,
    batch: Batch = 16,
    lr: Annotated[float | None, typer.Option(help="Learning rate as in `train`. Default: the space's.")] = None,
    images: Annotated[int, typer.Option(min=2, help="Pictures to fit on.")] = 2000,
    holdout: Holdout = 256,
    psi: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    rooms: Annotated[
        str | None,
        typer.Option(help="Variety of rendered rooms with exact maps, or none. Default: the generator's own."),
    ] = None,
    directions: Annotated[
        Path | None, typer.Option(help="Directions of light (.npy, of `relight`) to measure robustness with.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of report.json, report.html and the work.")] = Path("eval"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one for each core, one on a GPU.")
    ] = None,
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    precision: Precision = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Fit maps and controls, score all of them with intervals beside baselines, and write a report with a verdict.

    After Ctrl-C, the same command resumes.
    """
    import time

    from sgi.engine.errors import UserError
    from sgi.trainer.offsets.open_generator import ran_on
    from sgi.trainer.offsets.type_file import load_types
    from sgi.trainer.studies.evaluation import EvaluationSettings, evaluate, plan_evaluation

    own = load_types(type_files or ())
    chosen = tuple(own.get(name, name) for name in types or own)
    if unused := [name for name, kind in own.items() if kind not in chosen]:
        raise UserError(
            f"`type_files`: its type {unused[0]} is not among `types`; choose it too, or leave its file out"
        )
    settings = EvaluationSettings(
        types=chosen, generator=generator, teacher=teacher,
        references=tuple(references or ()), offsets=offsets, steps=steps, fits=fits, control_fits=control_fits,
        controls=controls, batch=batch, lr=lr, images=images, holdout=holdout, psi=psi, cutoff=cutoff,
        noise_mode=noise_mode, class_index=class_index, rooms=rooms, directions=directions, out=out, jobs=jobs,
        device=device, backend=backend, precision=precision,
    )  # fmt: skip
    console, began = new_console(), time.monotonic()
    if dry_run:
        console.print(str(plan_evaluation(settings)))
        return
    with progress(quiet) as receiver:
        report = evaluate(settings, receiver)
    written = report.write(out)
    for sentence in report.sentences():
        console.print(f"- {sentence}")
    minutes = (time.monotonic() - began) / 60
    console.print(f"wrote {written[0]} and {written[1]} in {minutes:.1f} minutes ({ran_on(device, backend)})")
