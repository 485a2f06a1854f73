"""`sgi-engine score`: the held-out table of an offset, measured anew."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, GeneratorFile, Holdout, Threads
from sgi.cli.train import TEACHER_HELP, chosen_kinds, progress_bar
from sgi.engine import bundle
from sgi.engine.errors import UserError


def score(
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Bundled offset to score; repeat it, or `all`.")
    ] = None,
    files: Annotated[list[Path] | None, typer.Option("--offset", help="Offset file to score; repeat it.")] = None,
    generator: GeneratorFile = None,
    teacher: Annotated[str, typer.Option(help=TEACHER_HELP)] = "bundled",
    holdout: Holdout = 256,
    split: Annotated[
        str, typer.Option(help="Score on `holdout` seeds, or on those for `choosing` settings.")
    ] = "holdout",
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps what the teacher told, as for train.")] = None,
    device: Device = "cpu",
    threads: Threads = None,
) -> None:
    """Score offsets on held-out seeds, beside baselines fitted on the pictures that the offsets were fitted on."""
    if files and types:
        raise UserError("--type and --offset: a file knows its type; give one of the two")
    paths = files or [bundle.offset(name) for name in chosen_kinds(types, [])]

    from rich.console import Console

    from sgi.engine.generator import checkpoints, generator_sha256
    from sgi.engine.offsets import Offset
    from sgi.trainer.device import find_device
    from sgi.trainer.offsets.job import make_pools, pool_facts, sampling_of, score_offset
    from sgi.trainer.offsets.score_report import score_table, verdict
    from sgi.trainer.teachers import load_teacher
    from sgi.trainer.teachers.classes import target_type

    where = find_device(device, threads)
    network = checkpoints.load(generator or bundle.GENERATOR, where)
    sha256 = generator_sha256(network)
    told_by = load_teacher(teacher, device)
    offsets = [Offset.load(path) for path in paths]
    for offset in offsets:
        offset.check_generator(sha256)
        target_type(told_by, offset.intrinsic)
    console = Console()
    # Offsets fitted on the same pictures, as all bundled ones are, share one pool.
    groups: dict[object, list[Offset]] = {}
    for offset in offsets:
        groups.setdefault((sampling_of(offset), pool_facts(offset)), []).append(offset)
    for group in groups.values():
        images, stream = pool_facts(group[0])
        names = [offset.type for offset in group]
        with progress_bar() as bar:
            task = bar.add_task("pictures", total=images + holdout, note="")
            sampling, advance = sampling_of(group[0]), partial(bar.advance, task)
            pools = make_pools(network, told_by, names, sampling, images, holdout, stream, split, advance, cache)
        for offset in group:
            figures = score_offset(network, told_by, offset, pools)
            console.print(score_table(offset, figures))
            console.print(verdict(figures))
            if offset.teacher.get("sha256") != figures["teacher"]["sha256"]:
                console.print(f"Fitted on another teacher, {offset.teacher.get('name')}.")
