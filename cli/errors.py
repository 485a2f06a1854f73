"""From a library's error to a command's: parameter names become the flags of the command that ran.

Messages of the rooms below name parameters in backticks, `class_index=9` or `class_index`. Of a command that has the
parameter they become its flag, `--class 9`; other text in backticks stays as it is.
"""

from __future__ import annotations

import re
from typing import Any

_REFERENCE = re.compile(r"`([a-z_][a-z0-9_]*)(?:=([^`]*))?`")


def flags_of(command: Any) -> dict[str, tuple[str, str]]:
    """Parameter name -> the flag that sets it and the flag that clears it ("" for none), of a click command."""
    flags = {}
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            flags[parameter.name] = (parameter.name.upper(), "")
        else:
            longest = max(parameter.opts, key=len)
            flags[parameter.name] = (longest, max(parameter.secondary_opts, key=len, default=""))
    return flags


def with_flags(text: str, flags: dict[str, tuple[str, str]]) -> str:
    """`text` with every reference to a parameter in `flags` replaced by the flag as a user types it."""

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        if name not in flags:
            return match[0]
        sets, clears = flags[name]
        if value in ("True", "False"):
            return clears if value == "False" and clears else sets
        return sets if value is None else f"{sets} {value}"

    return _REFERENCE.sub(flag, text)
