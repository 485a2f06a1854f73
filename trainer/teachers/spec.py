"""The part of a teacher's spec after its kind: what to open, and options, as in `Intel/zoedepth-nyu?far=6`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sgi.engine.errors import UserError


@dataclass(frozen=True)
class Spec:
    """A spec taken apart. text: as the user gave it, for messages. target: what to open. options: by name."""

    text: str
    target: str
    options: Mapping[str, str]

    @property
    def flag(self) -> str:
        """How messages name the spec."""
        return f"--teacher {self.text}"

    @property
    def title(self) -> str:
        """The target as offset files may show it: a folder or file without the way to it."""
        path = Path(self.target)
        return path.resolve().name if path.exists() else self.target

    def number(self, name: str, default: float) -> float:
        """A positive number; raises UserError if the option is none."""
        value = self.options.get(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            raise UserError(f"{self.flag}: {name}={value}: must be a positive number")
        return number

    def count(self, name: str) -> int | None:
        """A positive whole number or None if the option is not given; raises UserError if it is no such number."""
        value = self.options.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and int(value) > 0):
            raise UserError(f"{self.flag}: {name}={value}: must be a positive whole number")
        return int(value)

    def names(self, name: str) -> tuple[str, ...]:
        """Names separated by commas, () if the option is not given; raises UserError for an empty one."""
        value = self.options.get(name)
        if value is None:
            return ()
        found = tuple(part.strip() for part in value.split(","))
        if not all(found) or len(set(found)) < len(found):
            raise UserError(f"{self.flag}: {name}={value}: must be different names, separated by commas")
        return found


def parse_spec(kind: str, argument: str, known: tuple[str, ...]) -> Spec:
    """Take `TARGET?name=value&name=value` apart; raises UserError for an empty target or options not in `known`."""
    target, _, rest = argument.partition("?")
    text = f"{kind}:{argument}"
    if not target:
        raise UserError(f"--teacher {text}: says nothing to open after `{kind}:`")
    options: dict[str, str] = {}
    for part in rest.split("&") if rest else ():
        name, equals, value = part.partition("=")
        if name not in known or not equals or name in options:
            raise UserError(
                f"--teacher {text}: {part!r} is no option; give {', '.join(f'{o}=...' for o in known)} once"
            )
        options[name] = value
    return Spec(text, target, options)
