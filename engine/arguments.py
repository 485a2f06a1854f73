"""Checks of arguments that the functions of several rooms take.

A value of a wrong Python type raises WrongTypeError, which is both a UserError and a TypeError.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from operator import index
from pathlib import Path

from sgi.engine.errors import UserError, WrongTypeError

PSI_LIMIT = 100.0
"""Largest absolute psi; models compute in float32, and generators are used with psi from -2 to 2."""


def check_psi(psi: float) -> float:
    """`psi` as a float; raises UserError where it is not a number from -100 to 100."""
    remedy = f"must be a number from -{PSI_LIMIT:g} to {PSI_LIMIT:g}, such as 0.7"
    try:
        value = float("text" if isinstance(psi, (str, bytes, bool)) else psi)
    except (TypeError, ValueError):
        raise WrongTypeError("psi", psi, remedy) from None
    if not -PSI_LIMIT <= value <= PSI_LIMIT:  # False for NaN
        raise UserError(f"`psi={value}`: {remedy}")
    return value


def check_batch(batch: int) -> int:
    """`batch` as an int; raises UserError where it is not an integer of at least 1."""
    return check_positive("batch", batch)


def check_threads(threads: int | None) -> int | None:
    """`threads` as an int, None as None; raises UserError where it is not an integer of at least 1."""
    return None if threads is None else check_positive("threads", threads)


def check_path(path: str | Path, name: str) -> Path:
    """`path` as a Path; raises WrongTypeError, naming the parameter `name`, for anything but text and paths."""
    if not isinstance(path, (str, os.PathLike)):
        raise WrongTypeError(name, path, "must be the path of a file")
    return Path(path)


def check_text(**values: str | None) -> None:
    """Raise WrongTypeError for the first of the named values that is neither a string nor None."""
    for name, value in values.items():
        if not isinstance(value, (str, type(None))):
            raise WrongTypeError(name, value, "must be a string")


def names_of_types(types: str | Iterable[str] | None) -> list[str] | None:
    """`types` as a list, a string as one name, None as None; raises UserError for anything else and an empty list."""
    if types is None:
        return None
    names = [types] if isinstance(types, str) else list(types) if isinstance(types, Iterable) else [types]
    if not names:
        raise UserError("`types`: name at least one type, or pass None for the default")
    for name in names:
        if not isinstance(name, str):
            raise WrongTypeError("types", name, "must be the name of a type, or a list of names")
    return names


def check_integer(name: str, value: int | None, remedy: str = "must be an integer") -> int | None:
    """`value` as an int, None as None; raises WrongTypeError, naming the parameter, where it is no integer."""
    try:
        return None if value is None else index(value)
    except TypeError:
        raise WrongTypeError(name, value, remedy) from None


def check_positive(name: str, value: int) -> int:
    """`value` as an int; raises UserError, naming the parameter, where it is not an integer of at least 1."""
    remedy = "must be an integer of at least 1"
    number = check_integer(name, value, remedy)
    if number is None:
        raise WrongTypeError(name, value, remedy)
    if number < 1:
        raise UserError(f"`{name}={number}`: must be at least 1")
    return number
