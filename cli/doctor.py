"""`sgi-engine doctor`: checks of this machine as a table."""

from __future__ import annotations

from sgi.cli.terminal import new_console
from sgi.engine.cores import available_cores

__all__ = ["available_cores", "doctor"]

_COLOURS = {"yes": "green", "no": "red", "untried": "yellow"}


def doctor() -> None:
    """List what is installed, the GPUs, and which backends work, with the reason where one does not."""
    from rich.table import Table
    from rich.text import Text

    from sgi.engine.doctor import diagnose

    table = Table(title="sgi-engine doctor", title_justify="left")
    for column in ("what", "works", "details"):
        table.add_column(column, overflow="fold")
    for group in diagnose():
        for found in group:
            table.add_row(found.what, Text(found.state, _COLOURS[found.state]), found.detail)
        table.add_section()
    new_console().print(table)
