"""The exception for mistakes that a user can correct: wrong parameters and files, missing packages and hardware.

The command line prints it as one line and exits with status 2. Below the command line, messages name parameters in
backticks, `class_index=9`; sgi.cli.errors replaces them by flags.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

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


class WrongTypeError(UserError, TypeError):
    """A value of a wrong Python type. parameter: its name. remedy: what the value must be."""

    def __init__(self, parameter: str, value: object, remedy: str) -> None:
        super().__init__(f"`{parameter}={one_line(repr(value), 60)}`: {remedy}")


def refuse_ignored(given: Mapping[str, object], why: str) -> None:
    """Raise UserError for the first parameter in `given` that is not None: it would have no effect.

    given: parameter -> its value, None where it was not passed. why: the reason, and what to do.
    """
    for name, value in given.items():
        if value is not None:
            raise UserError(f"`{name}={value}` has no effect {why}")


def warn_cutoff(psi: float, cutoff: int | None) -> None:
    """Warn that `cutoff` has no effect where psi is 1.

    A warning and not an error, because a series over several psi passes the same cutoff each time.
    """
    if cutoff is not None and psi == 1:
        warnings.warn(f"`cutoff={cutoff}` has no effect with `psi={psi:g}`, which truncates nothing", stacklevel=3)
