"""Inert records: what stands in a read pickle for the classes, calls and long bytes that a file names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHOWN_CHARACTERS = 60


class Name(str):
    """A class or function the file names, `module.name`; a name and no more."""

    __slots__ = ()


class Blob(NamedTuple):
    """Bytes that stay in the file: their place."""

    start: int
    length: int


@dataclass(slots=True, eq=False)
class Call:
    """An object the file asks to make by calling `target` on `args`; never made.

    state: argument of BUILD, if any. entries, elements: what SETITEMS and APPENDS would have put in it.
    """

    target: Name
    args: tuple[Any, ...]
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Persistent:
    """An object kept outside the pickle (torch's storages), by its identifier."""

    identifier: Any


def shown(value: Any) -> str:
    """A value for a message: atoms as they are, the rest by type, as the text of nested tuples can be endless."""
    return str(value)[:SHOWN_CHARACTERS] if isinstance(value, (str, int, float, type(None))) else type(value).__name__
