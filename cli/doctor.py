"""`sgi-engine doctor`: checks of this machine as a table."""

from __future__ import annotations

from typing import Annotated

import typer

from sgi.cli.terminal import echo, new_console
from sgi.engine.cores import available_cores

__all__ = ["available_cores", "doctor"]

_COLOURS = {"yes": "green", "no": "red", "untried": "yellow"}


def doctor(
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Remove the exported models that `run --generator` keeps, and stop.")
    ] = False,
) -> None:
    """List what is installed, the GPUs, and which backends work, with the reason where one does not."""
    if clear_cache:
        from sgi.engine.generator_model import ModelCache

        cache = ModelCache.of_user()
        count, size = cache.clear()
        echo(f"removed {count} models, {size / 2**20:.1f} MiB, from {cache.folder}")
        return
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
