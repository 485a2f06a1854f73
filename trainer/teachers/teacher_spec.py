"""Parser of the part of a spec after its kind: the target and options, as in `Intel/zoedepth-nyu?far=6`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sgi.engine.errors import UserError


@dataclass(frozen=True)
class Spec:
    """A parsed spec.

    text: the spec as the user wrote it, for messages. target: name, folder or file to open. options: by name.
    """

    text: str
    target: str
    options: Mapping[str, str]

    @property
    def parameter(self) -> str:
        """The reference to the spec in messages."""
        return f"`teacher={self.text}`"

    @property
    def title(self) -> str:
        """The target for reports and offset files: a folder or file without its parent folders."""
        path = Path(self.target)
        return path.resolve().name if path.exists() else self.target

    def number(self, name: str, default: float) -> float:
        """The option as a positive number; raises UserError if it is not one."""
        value = self.options.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            raise UserError(f"{self.parameter}: {name}={value}: must be a positive number")
        return number

    def count(self, name: str) -> int | None:
        """The option as a positive whole number, None if it is not given; raises UserError if it is not one."""
        value = self.options.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise UserError(f"{self.parameter}: {name}={value}: must be a positive whole number")
        return int(value)

    def names(self, name: str) -> tuple[str, ...]:
        """The option as names separated by commas, () if it is not given; raises UserError for empty or equal names."""
        value = self.options.get(name)
        if value is None:
            return ()
        found = tuple(part.strip() for part in value.split(","))
        if not all(found) or len(set(found)) < len(found):
            raise UserError(f"{self.parameter}: {name}={value}: must be different names, separated by commas")
        return found


def parse_spec(kind: str, argument: str, known: tuple[str, ...]) -> Spec:
    """Parse `TARGET?name=value&name=value`; raises UserError for an empty target and for options not in `known`."""
    target, _, rest = argument.partition("?")
    text = f"{kind}:{argument}"
    if not target:
        raise UserError(f"`teacher={text}`: name what to open after `{kind}:`")
    options: dict[str, str] = {}
    for part in rest.split("&") if rest else ():
        name, equals, value = part.partition("=")
        if name not in known or not equals or name in options:
            raise UserError(
                f"`teacher={text}`: {part!r} is not an option; use {', '.join(f'{o}=...' for o in known)}, each once"
            )
        options[name] = value
    return Spec(text, target, options)
