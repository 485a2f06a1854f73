"""`sgi-engine sheet`: a grid of maps as one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.desktop import open_file
from sgi.cli.options import (
    OffsetFiles,
    Quiet,
    RunBackend,
    RunCache,
    RunDevice,
    RunGenerator,
    RunModel,
    Threads,
    Types,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import echo
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError, one_line

PANELS = {
    "Model": ("model", "generator", "offsets", "cache"),
    "Speed": ("backend", "device", "threads"),
    "Results": ("out", "show", "quiet"),
}


def sheet(
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="Such as 0-7 or 1,5,9. Default: 0-7; with rows of psi or alpha 0.")
    ] = None,
    rows: Annotated[
        str,
        typer.Option(
            "--rows",
            help="seeds: a row for each seed, a column for each type. psi or alpha: a row for each of its values, "
            "a column for each type of each seed.",
        ),
    ] = "seeds",
    types: Types = None,
    psi: Annotated[
        str | None,
        typer.Option("--trunc", help="Truncation psi; for rows of psi several, as 0,0.5,1. Default: the model's."),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option("--alpha", help="Factor of the offsets; for rows of alpha several. Default: the model's."),
    ] = None,
    class_index: Annotated[
        str | None,
        typer.Option("--class", help="Class of a conditional model, or a mix of classes, as 3:0.7,5:0.3."),
    ] = None,
    model: RunModel = None,
    generator: RunGenerator = None,
    offsets: OffsetFiles = None,
    backend: RunBackend = AUTO,
    device: RunDevice = AUTO,
    threads: Threads = None,
    cache: RunCache = True,
    out: Annotated[Path, typer.Option("--out", help="The picture, a .png file.")] = Path("sheet.png"),
    show: Annotated[bool, typer.Option("--open", help="Open the picture in the program for pictures.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a grid of maps as one PNG file, with labels and the range of depth.

    `sgi-engine view` shows the same in a page with controls, and `sgi-engine run` writes each map as a file.
    """
    from sgi.engine.live.sheet import write_grid

    with progress(quiet) as shown:
        report = write_grid(
            out, seeds=seeds, rows=rows, types=types, psi=_numbers("psi", psi), alpha=_numbers("alpha", alpha),
            class_index=class_index, model=model, generator=generator, offsets=offsets or [], backend=backend,
            device=device, threads=threads, cache=cache, progress=shown,
        )  # fmt: skip
    echo(
        f"wrote {report.out}: {report.rows} row{'s' if report.rows > 1 else ''} of {', '.join(report.types)} in "
        f"{report.seconds:.1f} s "
        f"({report.backend}, {report.device})"
    )
    if show and not open_file(report.out):
        echo(f"warning: no program opened {report.out}; open it yourself", err=True)


def _numbers(name: str, text: str | None) -> list[float] | None:
    """The numbers of an option, such as `0,0.5,1`; raises UserError, naming the parameter, for other text."""
    try:
        return None if text is None else [float(number) for number in text.split(",")]
    except ValueError:
        raise UserError(f"`{name}={one_line(text or '', 40)}`: write numbers such as 0.7 or 0,0.5,1") from None
