"""`sgi-engine verify`: hashes of an output folder, a sample rendered again, and one manifest of its shards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgi.cli.errors import flags_of, with_flags
from sgi.cli.json_progress import print_object
from sgi.cli.options import Json, OffsetFiles, Quiet, folder_or_url
from sgi.cli.progress import progress
from sgi.cli.terminal import echo
from sgi.engine.errors import UserError, one_line

if TYPE_CHECKING:
    from sgi.engine.run import FolderReport

_SHOWN = 200  # characters of a list of seeds or files


def verify(
    context: typer.Context,
    outdir: Annotated[
        Any, typer.Argument(parser=folder_or_url, metavar="OUTDIR", help="Folder or URL that `run` wrote.")
    ],
    render: Annotated[
        int | None,
        typer.Option(
            "--render",
            min=0,
            help="Random seeds to render again and compare with their files; 0 for none. Default: 4, if the model is "
            "the bundled one or named.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="The exported model of the folder. Default: the bundled rooms.")
    ] = None,
    generator: Annotated[
        str | None, typer.Option("--generator", help="Instead of a model: the --generator of the run.")
    ] = None,
    offsets: OffsetFiles = None,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="With --generator: factor of every offset. Default: 1.")
    ] = None,
    latents: Annotated[
        list[Path] | None, typer.Option("--latents", help="The files of latents of the run; repeat it for several.")
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check all files of a folder of `run` against their hashes, and merge the manifests of the parts of a run.

    A random sample of seeds is rendered again with the model of the folder and compared with the files, within the
    rounding of the format and of backends. Each finding is printed with what to do about it.

    The manifests are merged when all seeds are finished. Exit code 2 if seeds or files are missing, changed or foreign,
    or if maps differ from those of the model.
    """
    from sgi.engine.run import verify_folder

    with progress(quiet, as_json) as shown:
        report = verify_folder(
            outdir, render=render, model=model, generator=generator, offsets=offsets or [], alpha=alpha,
            latents=latents or [], progress=shown,
        )  # fmt: skip
    if as_json:
        print_object(sys.stdout, "report", _facts(report))
    else:
        echo(with_flags("\n".join(_lines(report)), flags_of(context.command)))
    if not report.is_complete:
        again = "again with --verify" if report.damaged else "again"
        raise UserError(f"{outdir}: not complete; run the same `sgi-engine run` command {again}")
    if report.foreign:
        raise UserError(f"{outdir}: contains maps that no manifest describes; remove {one_line(report.foreign[0])}")
    if different := report.rendering.different:
        maps = f"{len(different)} map{'s' if len(different) > 1 else ''}"
        raise UserError(f"{outdir}: {maps} of the model differ from the files, such as {one_line(different[0].file)}")


def _lines(report: FolderReport) -> list[str]:
    lines = [f"finished    {report.finished} of {len(report.seeds)} {report.item}s", f"rendered    {_rendered(report)}"]
    for kind, what, remedy in report.findings:
        lines += [f"{kind:12}{one_line(what, _SHOWN)}", f"{'':12}-> {remedy}"]
    if report.merged:
        lines.append(f"merged      {report.merged} manifests of parts into {report.manifest}")
    return lines


def _rendered(report: FolderReport) -> str:
    found = report.rendering
    if not found.seeds:
        return f"none: {found.skipped}" if found.skipped else "none"
    counts = [f"{found.identical} identical"]
    if found.rounded:
        counts.append(f"{found.rounded} within rounding (by up to {found.largest:.1g} of the range)")
    if wrong := len(found.seeds) - found.identical - found.rounded:
        counts.append(f"{wrong} different")
    where = f"{found.backend}, {found.device}" + (", which is not that of the folder" if found.another else "")
    return f"{len(found.seeds)} {report.item}s again on {where}: {', '.join(counts)}"


def _facts(report: FolderReport) -> dict[str, Any]:
    """The report for programs."""
    found = report.rendering
    return {
        "outdir": report.outdir, "manifest": report.manifest, "item": report.item, "seeds": len(report.seeds),
        "finished": report.finished, "unfinished": str(report.unfinished), "damaged": str(report.damaged),
        "foreign": report.foreign, "wrong_lines": report.wrong_lines, "merged": report.merged,
        "complete": report.is_complete,
        "rendered": {
            "seeds": found.seeds, "identical": found.identical, "rounded": found.rounded, "largest": found.largest,
            "different": [
                {"seed": one.seed, "type": one.type, "file": one.file, "largest": one.largest, "share": one.share}
                for one in found.different
            ],
            "backend": found.backend, "device": found.device, "skipped": found.skipped,
        },
        "findings": [finding._asdict() for finding in report.findings],
    }  # fmt: skip
