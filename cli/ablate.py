"""`sgi-engine ablate`: what a map depends on, as a table, a JSON file and a plot."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli.options import (
    Batch,
    ClassIndex,
    Cutoff,
    Device,
    GeneratorFile,
    Holdout,
    NoiseMode,
    Precision,
    Threads,
    Trunc,
)
from sgi.cli.train import progress_bar
from sgi.engine import bundle

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from sgi.trainer.studies.ablations.cases import Case

DEFAULT_TYPES = ("depth", "albedo")
FITS, CACHE = "fits", "teacher"


def ablate(
    what: Annotated[
        str,
        typer.Option(help="spaces (w, w+, style, lora), rows (of w+), images (to fit on) or alpha (times the offset)."),
    ],
    types: Annotated[
        list[str] | None, typer.Option("--type", help=f"Map to fit; repeat it. Default: {' and '.join(DEFAULT_TYPES)}.")
    ] = None,
    generator: GeneratorFile = None,
    teacher: Annotated[str, typer.Option(help="`bundled`, or another spec of `train`.")] = "bundled",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of every fit.")] = 400,
    batch: Batch = 16,
    images: Annotated[int, typer.Option(min=2, help="Pictures to fit on; the most that --what images tries.")] = 2000,
    holdout: Holdout = 256,
    trunc: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    seed: Annotated[int, typer.Option(help="Which pictures to fit on, and their order.")] = 0,
    out: Annotated[Path, typer.Option(help="Folder of results and fits; another ablation there shares its fits.")] = (
        Path("ablations")
    ),
    device: Device = "cpu",
    threads: Threads = None,
    precision: Precision = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how long it takes, and stop.")] = False,
) -> None:
    """Ask what a map depends on: the space of its offset, its rows, its length, the pictures it was fitted on.

    Stop and continue at will with Ctrl-C and the same command.
    """
    from rich.console import Console

    from sgi.engine.files import atomic_write
    from sgi.engine.generator import checkpoints
    from sgi.trainer.device import find_device, preferred_precision
    from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU
    from sgi.trainer.offsets.fit import FitSettings
    from sgi.trainer.offsets.pool import Sampling, build_pool
    from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
    from sgi.trainer.offsets.timing import time_fit
    from sgi.trainer.studies.ablations.cases import plan
    from sgi.trainer.studies.ablations.run import Bench, measure
    from sgi.trainer.studies.section import section_table
    from sgi.trainer.teachers import load_teacher
    from sgi.trainer.teachers.classes import target_type

    where = find_device(device, threads)
    settings = FitSettings(steps=steps, batch=batch, seed=seed, precision=precision or preferred_precision(where))
    sampling = Sampling(trunc, cutoff, noise_mode or ("const" if generator else "none"), class_index)
    fitting, held = fitting_seeds(images, seed), scoring_seeds(holdout)
    network = checkpoints.load(generator or bundle.GENERATOR, where)
    told_by = load_teacher(teacher, device)
    names = list(dict.fromkeys(types or DEFAULT_TYPES))
    kinds = [target_type(told_by, name) for name in names]
    cases = plan(what, names, settings, images, network.config)
    console = Console()
    timing = time_fit(network, told_by, kinds, sampling, settings)
    most = len({case.fit for case in cases})
    seconds = most * timing.fit(steps) + (images + holdout * (1 + len(cases))) * timing.picture
    console.print(
        f"{what}: {len(cases)} cases of {most} fits, about {math.ceil(seconds / 60)} min; "
        f"finished fits stay in {out / FITS}"
    )
    if dry_run:
        return
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=images + holdout, note="")
        fit_on, score_on = (
            build_pool(network, told_by, names, seeds, sampling, partial(bar.advance, task), out / CACHE)
            for seeds in (fitting, held)
        )
    bench = Bench(network, told_by, fit_on, score_on, out / FITS)
    with progress_bar() as bar:
        task = bar.add_task(what, total=len(bench.missing(cases)) * steps, note="")
        report = measure(what, bench, cases, _Teller(bar, task))
    (picture,) = report.pop("pictures").values()
    for path, data in ((out / f"{what}.png", picture), (out / f"{what}.json", _json(report))):
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    console.print(section_table(report, (FVU, HIGH_PASS_FVU), f"{what}, {holdout} held-out seeds, 95 % intervals"))
    console.print(f"wrote {out / f'{what}.png'} and {out / f'{what}.json'}")


class _Teller:
    """Moves one bar through all fits."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self.bar, self.task = bar, task
        self.before = 0
        self.case: Case | None = None
        self.done = 0

    def __call__(self, case: Case, done: int, loss: float) -> None:
        if case is not self.case:
            self.before += self.done
            self.case = case
        self.done = done
        self.bar.update(self.task, completed=self.before + done, note=f"{case.type} {case.series} {case.label}")


def _json(report: dict) -> bytes:
    return (json.dumps(report, indent=1) + "\n").encode()
