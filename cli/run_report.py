"""What `sgi-engine run` prints at its end: the report or the interruption, for people or as JSON lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sgi.cli.json_progress import print_object
from sgi.cli.terminal import echo

if TYPE_CHECKING:
    from sgi.engine.run import RunReport


def show_report(report: RunReport, as_json: bool) -> None:
    """Print the result of a run."""
    if as_json:
        print_object(sys.stdout, "report", _facts(report))
    else:
        echo("\n".join(_lines(report)))


def show_interruption(stop: KeyboardInterrupt, as_json: bool) -> None:
    """Print how far a run is that was stopped."""
    from sgi.engine.run import RunInterrupted

    facts, state = {}, ""
    if isinstance(stop, RunInterrupted):
        facts = {"finished": stop.finished, "total": stop.total, "item": stop.item}
        state = f": {stop.finished} of {stop.total} {stop.item}s are finished; the same command continues"
    if as_json:
        print_object(sys.stdout, "interrupted", facts)
    echo(f"interrupted{state}", err=True)


def _facts(report: RunReport) -> dict[str, Any]:
    """The report for programs."""
    return {
        "outdir": report.outdir, "manifest": report.manifest, "preview": report.preview, "item": report.item,
        "types": report.types, "written": report.written, "found": report.found, "files": report.files,
        "bytes": report.bytes, "seconds": round(report.seconds, 3),
        "images_per_second": round(report.images_per_second, 3), "backend": report.backend, "device": report.device,
        "precision": report.precision, "remark": report.remark, "set_aside": [str(path) for path in report.set_aside],
    }  # fmt: skip


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _lines(report: RunReport) -> list[str]:
    maps = report.written * len(report.types)
    verb = "wrote" if report.outdir else "generated"
    first = f"{verb} {_count(report.written, report.item)}, {_count(maps, 'map')} ({', '.join(report.types)})"
    if report.written:
        first += f" in {report.seconds:.1f} s: {report.images_per_second:.1f} {report.item}s/s"
    elif report.remark and not report.found:
        first += f": {report.remark}"
    lines = [first if report.outdir else f"{first}; no files"]
    if report.found:
        lines.append(f"found {_count(report.found, report.item)} finished before")
    if report.outdir:
        lines += [f"maps      {report.outdir}", f"manifest  {report.manifest}"]
    if report.preview:
        lines.append(f"preview   {report.preview}")
    if report.written:
        remark = f": {report.remark}" if report.remark else ""
        lines.append(f"backend   {report.backend}, {report.device}, {report.precision}{remark}")
    return lines
