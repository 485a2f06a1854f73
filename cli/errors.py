"""Replace parameter names in error messages of the library by the flags of the command that ran.

Rooms below the command line name parameters in backticks: `class_index=9` or `class_index`. If the command has that
parameter, the message shows its flag: `--class 9`. Other text in backticks is unchanged.
"""

from __future__ import annotations

import re
from typing import Any

_REFERENCE = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")


def flags_of(command: Any) -> dict[str, tuple[str, str]]:
    """Flags of a click command: parameter name -> (flag that sets it, flag that clears it or "")."""
    flags = {}
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            flags[parameter.name] = ((parameter.metavar or parameter.name.upper()).rstrip("."), "")
        else:
            longest = max(parameter.opts, key=len)
            flags[parameter.name] = (longest, max(parameter.secondary_opts, key=len, default=""))
    return flags


def with_flags(text: str, flags: dict[str, tuple[str, str]]) -> str:
    """`text` with every reference to a parameter of `flags` replaced by its flag."""

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in flags:
            return match[0]
        sets, clears = flags[name]
        if value in ("True", "False"):
            return clears if value == "False" and clears else sets
        return sets if value is None else f"{sets} {value}"

    return _REFERENCE.sub(flag, text)
