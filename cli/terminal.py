"""Printing. All output of commands passes through this module, which replaces control characters.

Names in files, and names of files, can contain escape sequences, which change a terminal or what it shows.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sgi.engine.errors import one_line

if TYPE_CHECKING:
    from rich.console import Console

LONGEST_LINE = 10_000


def printable(text: str) -> str:
    """Text in which every line is printable: control and other unprintable characters are replaced."""
    return "\n".join(one_line(line, LONGEST_LINE) for line in text.split("\n"))


def echo(text: str, *, err: bool = False) -> None:
    """Print text to stdout or stderr."""
    print(printable(text), file=sys.stderr if err else sys.stdout, flush=True)


def new_console(*, stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console of rich for tables and long lines; text is never read as markup. soft_wrap: do not break lines."""
    from rich.console import Console
    from rich.text import Text

    class Printable(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            """See `rich.console.Console`, which calls this for every text, cell and title."""
            return super().render_str(printable(text), **options)

    return Printable(markup=False, emoji=False, stderr=stderr, soft_wrap=soft_wrap)
