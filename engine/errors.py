"""The one exception for mistakes a user can mend: bad flags, bad files, missing packages or hardware.

The command line prints it as one line and exits with 2; library users catch it by name.
"""

from __future__ import annotations

MAX_LENGTH = 1000


def one_line(text: str, limit: int = MAX_LENGTH) -> str:
    """Text fit for a terminal: what cannot be printed (line breaks, escapes) replaced, and cut at `limit` characters.

    Messages and reports quote names out of files, which can hold anything.
    """
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:limit])
    return shown if len(text) <= limit else f"{shown}..."


class UserError(Exception):
    """A mistake the user can mend; its text is one line naming the flag or file and the remedy."""

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))
