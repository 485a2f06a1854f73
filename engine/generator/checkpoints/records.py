"""Inert records, which represent the classes, calls and long byte strings of a pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHOWN_CHARACTERS = 60
REMEDY = "use a StyleGAN2 checkpoint (.pkl, .pt, .pth, .safetensors)"
"""What to do about a file of another kind."""


class Name(str):
    """The name of a class or function in a pickle, `module.name`; it is never imported."""

    __slots__ = ()


class Blob(NamedTuple):
    """The position of bytes that remain in the file; is_text: whether they are the UTF-8 encoding of a text."""

    start: int
    length: int
    is_text: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class OddKey:
    """A key of a dict that is neither text nor bytes nor a small integer."""

    value: Any

    def __str__(self) -> str:
        return f"a key of type {type(self.value).__name__}"


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


class Latin1(NamedTuple):
    """Bytes that a pickle of protocol 2 stores as text, one character a byte."""

    text: str | Blob


def raw_bytes(value: Any) -> bytes | Blob | Latin1 | None:
    """The bytes that a value stands for, in all forms of protocols 2 to 5; None if it is not bytes.

    Source: Lib/pickle.py of CPython, `save_bytes` and `save_bytearray`.
    """
    for _ in range(2):  # a bytearray is a call with bytes
        if isinstance(value, bytes) or (isinstance(value, Blob) and not value.is_text):
            return value
        if not isinstance(value, Call):
            return None
        if value.target in ("builtins.bytes", "builtins.bytearray") and not value.args:
            return b""
        is_text = len(value.args) == 2 and value.args[1] in ("latin1", "latin-1")
        if is_text and value.target in ("_codecs.encode", "builtins.bytearray"):
            text = value.args[0]
            plain = isinstance(text, str) or (isinstance(text, Blob) and text.is_text)
            return Latin1(text) if plain else None
        if value.target != "builtins.bytearray" or len(value.args) != 1:
            return None
        value = value.args[0]
    return None
