"""`sgi-engine run`: maps of seeds as files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli import INTERRUPTED
from sgi.engine.backends import AUTO, BACKENDS, DEFAULT_BATCH, DEVICES
from sgi.engine.errors import UserError
from sgi.engine.writers import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sgi.engine.run.pipeline import Job, Outcome

ALL = "all"


def run(
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds and inclusive ranges, such as 0-999 or 0-5,9.")],
    model: Annotated[Path | None, typer.Option("--model", help="Exported model. Default: the bundled rooms.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Map to write; repeat it. Default: all of the model.")
    ] = None,
    outdir: Annotated[Path, typer.Option("--outdir", help="Folder for the maps; a started one is continued.")] = Path(
        "out"
    ),
    trunc: Annotated[float | None, typer.Option("--trunc", help="Truncation psi. Default: the model's.")] = None,
    class_index: Annotated[int | None, typer.Option("--class", help="Class, of a conditional model.")] = None,
    file_format: Annotated[str, typer.Option("--format", help=f"{' or '.join(FORMATS)}.")] = "png",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images in one pass.")] = DEFAULT_BATCH,
    backend: Annotated[
        str, typer.Option("--backend", help=f"{', '.join(BACKENDS)} or auto, the faster one installed.")
    ] = AUTO,
    device: Annotated[str, typer.Option("--device", help=f"{', '.join(DEVICES)} or auto.")] = AUTO,
    precision: Annotated[
        str | None,
        typer.Option("--precision", help="bf16: faster on CPUs that have it, good for 8 bits. Default: the model's."),
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")] = None,
    shard: Annotated[str, typer.Option("--shard", help="k/n: only part k of n of the seeds.")] = "1/1",
    preview: Annotated[bool, typer.Option("--preview/--no-preview", help="Write a contact sheet.")] = True,
) -> None:
    """Write the maps of seeds as files."""
    from sgi.engine.api import Engine, bundled_model, one_hot
    from sgi.engine.artifact import Artifact
    from sgi.engine.backends import open_backend
    from sgi.engine.files import sha256_file
    from sgi.engine.run import pipeline
    from sgi.engine.run.manifest import RunRecord
    from sgi.engine.seeds import parse_seeds, parse_shard
    from sgi.engine.writers import get_format

    wanted, part = parse_seeds(seeds), parse_shard(shard)
    if wanted.duplicates:
        typer.echo(f"--seeds: {wanted.duplicates} duplicates dropped", err=True)
    get_format(file_format)
    path = model or bundled_model()
    artifact = Artifact.read(path)
    chosen = artifact.choose_types(None if not types or ALL in types else types)
    one_hot(class_index, 1, artifact.c_dim)
    psi = artifact.psi if trunc is None else trunc
    if not isfinite(psi):
        raise UserError(f"--trunc {psi}: give a number, such as 0.7")
    record = RunRecord(sha256_file(path), chosen, psi, class_index, file_format, wanted.digits, precision)
    job = pipeline.Job(outdir, wanted, record, part)
    count = len(job.part)
    batch = min(batch, max(count, 1))
    outcome = pipeline.Outcome()
    with Engine(open_backend(path, backend, device, chosen, batch, threads, count, precision), batch) as engine:
        job = pipeline.prepare(job)
        try:
            with _progress_bar(count, outcome) as tell:
                pipeline.run(engine, job, outcome, tell)
        except KeyboardInterrupt:
            done = outcome.written + outcome.found
            typer.echo(f"interrupted: {done} of {count} seeds are finished; the same command continues", err=True)
            raise typer.Exit(INTERRUPTED) from None
        where = ", ".join(filter(None, (engine.backend.name, engine.backend.device, precision)))
    _report(job, outcome, where, pipeline.write_preview(job, artifact) if preview and count else None)


@contextmanager
def _progress_bar(count: int, outcome: Outcome) -> Iterator[Callable[[], None]]:
    """Show a bar on a terminal, and spare a log file both the bar and the import."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("seeds"), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=count, rate="")

        def tell() -> None:
            bar.update(task, completed=outcome.written + outcome.found, rate=_rate(outcome))

        yield tell


def _rate(outcome: Outcome) -> str:
    return f"{outcome.written / outcome.seconds:.1f} img/s" if outcome.written else ""


def _report(job: Job, outcome: Outcome, where: str, sheet: Path | None) -> None:
    maps = outcome.written * len(job.record.types)
    lines = [f"wrote {outcome.written} seeds, {maps} maps ({', '.join(job.record.types)})"]
    if outcome.written:
        lines[0] += f" in {outcome.seconds:.1f} s: {_rate(outcome)} ({where})"
    if outcome.found:
        lines.append(f"found {outcome.found} seeds finished before")
    lines += [f"maps      {job.outdir}", f"manifest  {job.manifest}"]
    if sheet:
        lines.append(f"preview   {sheet}")
    typer.echo("\n".join(lines))
