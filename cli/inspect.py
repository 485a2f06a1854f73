"""`sgi-engine inspect`: the description of a file as tables."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgi.cli.terminal import new_console
from sgi.engine.byte_size import byte_size
from sgi.engine.errors import one_line

if TYPE_CHECKING:
    from rich.table import Table

    from sgi.engine.inspect_file import FileReport

_MOST_ROWS = 300


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file or folder that a command wrote, or a checkpoint.")
    ],
) -> None:
    """Describe a checkpoint, or a file or folder that a command wrote; nothing in it is executed."""
    from sgi.engine.inspect_file import inspect_file

    console = new_console()
    for table in _tables(inspect_file(file)):
        console.print(table)


def _tables(report: FileReport) -> list[Table]:
    facts = _table(f"{report.path}: {report.kind}, {byte_size(report.size)}")
    facts.show_header = False
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    rows = _flat(report.facts)
    for name, value in islice(rows, _MOST_ROWS):
        facts.add_row(name, value)
    if more := sum(1 for _ in rows):
        facts.add_row("...", f"{more} more")
    tables = [facts]
    for section in report.sections:
        table = _table(section.title, "", *(column.replace("_", " ") for column in section.columns))
        for name, cells in section.rows.items():
            table.add_row(one_line(name), *map(_text, cells))
        tables.append(table)
    return tables


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as rows: {"config": {"z_dim": 256}} -> [("config.z_dim", "256")]."""
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            value = {str(i): entry for i, entry in enumerate(value)}
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = f"{value:,}" if name == "parameters" and isinstance(value, int) else _text(value)
            yield one_line(prefix + name), text


def _text(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return one_line(", ".join(map(str, value)))
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
