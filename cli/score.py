"""`sgi-engine score`: score offset files again and print their tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli.options import (
    Device,
    GeneratorFile,
    Holdout,
    PictureBackend,
    Quiet,
    Split,
    Teacher,
    TeacherCache,
    Threads,
    types_option,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console

if TYPE_CHECKING:
    from sgi.trainer.offsets.rescore import ScoredOffset


def score(
    types: Annotated[
        list[str] | None, types_option("Bundled offsets to score, such as depth,normal, or `all`.")
    ] = None,
    offsets: Annotated[list[Path] | None, typer.Option("--offset", help="Offset file to score; repeat it.")] = None,
    generator: GeneratorFile = None,
    teacher: Teacher = "bundled",
    holdout: Holdout = 256,
    split: Split = "holdout",
    cache: TeacherCache = None,
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
) -> None:
    """Score offsets on held-out seeds, beside baselines fitted on the pictures that the offsets were fitted on."""
    from sgi.trainer.offsets.open_generator import ran_on
    from sgi.trainer.offsets.rescore import score_offsets

    with progress(quiet) as shown:
        score_offsets(
            offsets or (), types=types or (), generator=generator, teacher=teacher, holdout=holdout, split=split,
            cache=cache, device=device, backend=backend, threads=threads, progress=shown, on_scored=_report,
        )  # fmt: skip
    new_console().print(f"Pictures by {ran_on(device, backend)}.")


def _report(scored: ScoredOffset) -> None:
    from sgi.trainer.offsets.score_report import compare_to_baseline, score_table

    console = new_console()
    console.print(score_table(scored.offset, scored.score))
    console.print(compare_to_baseline(scored.score))
    if not scored.same_teacher:
        console.print(f"Fitted on another teacher, {scored.offset.teacher.get('name')}.")
