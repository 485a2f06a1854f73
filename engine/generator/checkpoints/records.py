"""Inert records, which represent the classes, calls and long byte strings of a pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHOWN_CHARACTERS = 60


class Name(str):
    """The name of a class or function in a pickle, `module.name`; it is never imported."""

    __slots__ = ()


class Blob(NamedTuple):
    """The position of bytes that remain in the file."""

    start: int
    length: int


@dataclass(slots=True, eq=False)
class Call:
    """An object that unpickling would create by calling `target` with `args`; it is never created.

    state: argument of BUILD, if any. entries, elements: items that SETITEMS and APPENDS would add.
    """

    target: Name
    args: tuple[Any, ...]
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to an object outside the pickle, such as a storage of torch."""

    identifier: Any


def shown(value: Any) -> str:
    """The text of a value in a message: simple values as text, others as the name of their type.

    The text of nested tuples can have exponential length.
    """
    return str(value)[:SHOWN_CHARACTERS] if isinstance(value, (str, int, float, type(None))) else type(value).__name__
