"""`sgi-engine verify`: the hashes of an output folder, and one manifest of its shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Quiet
from sgi.cli.progress import progress
from sgi.cli.terminal import echo
from sgi.engine.errors import UserError, one_line

_SHOWN = 200  # characters of a list of seeds or files


def verify(
    outdir: Annotated[Path, typer.Argument(metavar="OUTDIR", help="Folder that `run` wrote.")],
    quiet: Quiet = False,
) -> None:
    """Check all files of a folder of `run` against their hashes, and merge the manifests of shards.

    The manifests are merged when all seeds are finished. Exit code 2 if seeds or files are missing, changed or foreign.
    """
    from sgi.engine.run import verify_folder

    with progress(quiet) as shown:
        report = verify_folder(outdir, progress=shown)
    echo(f"finished    {report.finished} of {len(report.seeds)} {report.item}s")
    for name, text in (
        ("unfinished", str(report.unfinished)),
        ("damaged", str(report.damaged)),
        ("foreign", ", ".join(report.foreign)),
    ):
        if text:
            echo(f"{name:12}{one_line(text, _SHOWN)}")
    if report.wrong_lines:
        echo(f"wrong lines {report.wrong_lines} in manifests; the next run drops them")
    if report.merged:
        echo(f"merged      {report.merged} manifests of shards into {report.manifest}")
    if not report.is_complete:
        raise UserError(f"{outdir}: not complete; run the same `sgi-engine run --verify` again")
    if report.foreign:
        raise UserError(f"{outdir}: contains maps that no manifest describes; remove {one_line(report.foreign[0])}")
