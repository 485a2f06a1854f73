"""The exception for mistakes that a user can correct: wrong parameters and files, missing packages and hardware.

The command line prints it as one line and exits with status 2. Below the command line, messages name parameters in
backticks, `class_index=9`; sgi.cli.errors replaces them by flags.
"""

from __future__ import annotations

MAX_LENGTH = 1000


def one_line(text: str, limit: int = MAX_LENGTH) -> str:
    """Text on one line for a terminal: unprintable characters are replaced, and it is cut at `limit` characters.

    Messages and reports quote names in files, which can contain any characters.
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}..."


class UserError(Exception):
    """A mistake that the user can correct; its text is one line with the parameter or file and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))
