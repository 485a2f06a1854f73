"""`sgi-engine relight`: directions that change the light, and what offset and teacher make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli.options import Device, GeneratorFile, Precision, Threads
from sgi.cli.train import progress_bar
from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REPORT = "relight.json"
DIRECTIONS = "directions.npy"


def relight(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("relit"),
    directions: Annotated[
        Path | None, typer.Option(help="Directions to measure, .npy [K, rows, w_dim]. Default: find them.")
    ] = None,
    generator: GeneratorFile = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--offset", help="Offset file to measure; repeat it. Default: the bundled ones."),
    ] = None,
    teacher: Annotated[str, typer.Option(help="`bundled`, or another spec of `train`.")] = "bundled",
    count: Annotated[int, typer.Option(min=2, help="Directions to find.")] = 8,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps of the search.")] = 200,
    keep: Annotated[float, typer.Option(help="Price of a changed albedo; higher finds weaker lights.")] = 20.0,
    from_layer: Annotated[int, typer.Option(min=0, help="First row of w+ that a direction may move.")] = 3,
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    scenes: Annotated[int, typer.Option(min=2, help="Held-out seeds, and rooms, to measure on.")] = 32,
    variety: Annotated[str, typer.Option(help="Variety of the rooms, that of the generator's training.")] = "calm",
    device: Device = "cpu",
    threads: Threads = None,
    precision: Precision = None,
) -> None:
    """Find directions that change the light, and measure whether maps bear it.

    The spread of G(w + relight + d) over lights stands beside the teacher's on the same relit pictures, and on rooms
    that the renderer lit anew.
    """
    if generator and not files:
        raise UserError("--offset is missing: give the offsets that were fitted on --generator")

    from functools import partial

    from rich.console import Console

    from sgi.engine.files import atomic_write
    from sgi.engine.generator import checkpoints, generator_sha256
    from sgi.engine.offsets import Offset
    from sgi.trainer.device import find_device, preferred_precision
    from sgi.trainer.offsets.apply_offset import common_sampling
    from sgi.trainer.studies import relighting
    from sgi.trainer.studies.relighting.spread import RELATIVE, SPREAD
    from sgi.trainer.studies.section import section_table
    from sgi.trainer.teachers import load_teacher

    where = find_device(device, threads)
    settings = relighting.DirectionSettings(
        count=count, steps=steps, keep=keep, from_layer=from_layer, seed=seed,
        precision=precision or preferred_precision(where),
    )  # fmt: skip
    network = checkpoints.load(generator or bundle.GENERATOR, where)
    sha256 = generator_sha256(network)
    offsets = [Offset.load(path) for path in files or [bundle.offset(name) for name in intrinsics.MAP_TYPES]]
    for offset in offsets:
        offset.check_generator(sha256)
    sampling = common_sampling(offsets)
    told_by = load_teacher(teacher, device)
    console = Console()
    if directions:
        found = relighting.load_directions(directions, network.config)
    else:
        with progress_bar() as bar:
            task = bar.add_task("searching", total=steps, note="")
            found = relighting.find(network, told_by, sampling, settings, partial(_tell, bar, task))
    out.mkdir(parents=True, exist_ok=True)
    if not directions:
        relighting.save_directions(out / DIRECTIONS, found)
    console.print(f"measuring {len(found)} lights on {scenes} scenes")
    report = relighting.measure(network, told_by, offsets, found, scenes, variety)
    for title, picture in report.pop("pictures").items():
        with atomic_write(out / f"{title.lower().replace(' ', '-')}.png") as temporary:
            temporary.write_bytes(picture)
    with atomic_write(out / REPORT) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    console.print(section_table(report, (SPREAD, RELATIVE), f"{len(found)} lights, {scenes} scenes, 95 % intervals"))
    checks = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in report["checks"].items())
    console.print(f"Light changed? {checks} (ratios: the directions' spread over that of the renderer's lights).")
    console.print(f"wrote {out}")


def _tell(bar: Progress, task: TaskID, done: int, loss: float) -> None:
    bar.update(task, completed=done, note=f"loss {loss:.3f}")
