"""`sgi-engine eval`: what does a generator know, and what can it only be forced to show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.doctor import available_cores
from sgi.cli.options import (
    Batch,
    ClassIndex,
    Cutoff,
    Device,
    GeneratorFile,
    Holdout,
    NoiseMode,
    Precision,
    Trunc,
    TypeFiles,
)
from sgi.cli.train import own_kinds, progress_bar
from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import IMAGE, MAP_TYPES, SEGMENTATION

DEFAULT_TYPES = (*MAP_TYPES, SEGMENTATION, "mask-bed", "edges")
REPORT, PAGE, WORK = "report.json", "report.html", "work"


def eval(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help=f"Map to study; repeat it. Default: of {', '.join(DEFAULT_TYPES)} what is told."),
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
    control_fits: Annotated[int, typer.Option(min=1, help="Fits of every other row.")] = 1,
    controls: Annotated[bool, typer.Option(help="Fit controls, without which there is no verdict.")] = True,
    batch: Batch = 16,
    lr: Annotated[float | None, typer.Option(help="Learning rate as in `train`. Default: the space's.")] = None,
    images: Annotated[int, typer.Option(min=2, help="Pictures to fit on.")] = 2000,
    holdout: Holdout = 256,
    trunc: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    rooms: Annotated[
        str | None,
        typer.Option(help="Variety of rendered rooms to score on as truth, or none. Default: the generator's own."),
    ] = None,
    directions: Annotated[
        Path | None, typer.Option(help="Directions of light (.npy, of `relight`) to measure robustness with.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of report.json, report.html and the work.")] = Path("eval"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes. Default: one for each core, one on a GPU.")
    ] = None,
    device: Device = "cpu",
    precision: Precision = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and how long it takes.")] = False,
) -> None:
    """Fit maps and controls, score all of them with intervals beside baselines, and write a report with a verdict.

    Stop and continue at will with Ctrl-C and the same command.
    """
    import time

    from rich.console import Console

    from sgi.engine.generator import checkpoints, generator_sha256
    from sgi.trainer.device import find_device, preferred_precision
    from sgi.trainer.offsets.pool import Sampling
    from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
    from sgi.trainer.studies.evaluation import report, sections
    from sgi.trainer.studies.evaluation.html import page
    from sgi.trainer.studies.evaluation.markdown import sentences
    from sgi.trainer.studies.evaluation.pictures import sheets
    from sgi.trainer.studies.evaluation.study import estimate, run_tasks, unfinished
    from sgi.trainer.studies.evaluation.tasks import plan
    from sgi.trainer.studies.evaluation.work import Study, given_rows, open_world
    from sgi.trainer.teachers import load_teacher

    # A wrong flag should not cost minutes.
    fitting_seeds(images, max(fits, control_fits) - 1)
    scoring_seeds(holdout)
    where, console, began = find_device(device, 1), Console(), time.monotonic()
    told_by = load_teacher(teacher, device)
    others = [load_teacher(spec, device) for spec in references or ()]
    own = own_kinds(type_files or [])
    names = tuple(dict.fromkeys(types or [*own] or [name for name in DEFAULT_TYPES if name in told_by.types]))
    if not names or IMAGE in names:
        raise UserError(f"--type: choose from {', '.join(told_by.types)}")
    path = generator or bundle.GENERATOR
    network = checkpoints.load(path, where)
    variety = sections.checked_variety(rooms, path)
    sampling = Sampling(trunc, cutoff, noise_mode or ("const" if generator else "none"), class_index)
    sampling.check(network)
    if offsets is None and generator is None:
        offsets = bundle.OFFSETS
    study = Study(
        str(path), teacher, generator_sha256(network), told_by.sha256, names, sampling, out / WORK, images, holdout,
        "holdout", steps, batch, lr, precision or preferred_precision(where), device, 1, offsets, tuple(own.values()),
    )  # fmt: skip
    world = open_world(study)
    tasks = plan(names, fits, control_fits, controls, given_rows(study))
    workers = jobs or (1 if device == "cuda" else available_cores())
    minutes = estimate(world, tasks, workers, variety is not None) / 60
    console.print(
        f"{len(tasks)} tasks, {len(unfinished(study, tasks))} to do: about {max(1, round(minutes))} min on "
        f"{workers} processes; finished ones stay in {study.folder}"
    )
    if dry_run:
        return
    with progress_bar() as bar:
        line = bar.add_task("fits", total=len(tasks), note="")
        results = run_tasks(study, tasks, workers, lambda task: bar.update(line, advance=1, note=task.row.label))
    console.print("drawing up the report")
    find_device(device, workers)  # the processes are gone, so their cores are free
    found = report.build(world, results, fits, control_fits)
    found["references"] = [report.reference(world, results, other) for other in others]
    measured = sections.measure(world, results, variety, directions)
    found["sections"] = {title: sections.figures_only(section) for title, section in measured.items()}
    report.write(out / REPORT, found)
    report.write(out / PAGE, page(found, sheets(world, results), measured))
    for sentence in sentences(found):
        console.print(f"- {sentence}")
    console.print(f"wrote {out / REPORT} and {out / PAGE} in {(time.monotonic() - began) / 60:.1f} minutes")
