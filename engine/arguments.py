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
FACTOR_LIMIT = 100.0
"""Largest absolute factor of an offset; at 1 the generator shows the map, far beyond it only clipped colours."""
MAX_BATCH = 1 << 16
MAX_THREADS = 1024
"""More than the cores of any machine; a runtime starts every thread, with a stack each, before the first image."""


def check_psi(psi: float) -> float:
    """`psi` as a float; raises UserError where it is not a number from -100 to 100."""
    return _bounded("psi", psi, PSI_LIMIT, ", such as 0.7")


def check_batch(batch: int) -> int:
    """`batch` as an int; raises UserError where it is not an integer from 1 to MAX_BATCH."""
    return check_positive("batch", batch, MAX_BATCH)


def check_threads(threads: int | None) -> int | None:
    """`threads` as an int, None as None; raises UserError where it is not an integer from 1 to MAX_THREADS."""
    return None if threads is None else check_positive("threads", threads, MAX_THREADS)


def check_cutoff(cutoff: int | None, num_ws: int) -> int | None:
    """`cutoff` as an int, None as None; raises UserError where it is not a number of rows of w+, 0 to `num_ws`."""
    number = check_integer("cutoff", cutoff)
    if number is not None and not 0 <= number <= num_ws:
        raise UserError(f"`cutoff={number}`: the generator has {num_ws} rows of w+; choose 0 to {num_ws}")
    return number


def check_factor(name: str, value: float) -> float:
    """`value`, the factor of an offset, as a float; raises UserError where it is not a number from -100 to 100."""
    return _bounded(name, value, FACTOR_LIMIT)


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


def check_positive(name: str, value: int, largest: int) -> int:
    """`value` as an int; raises UserError, naming the parameter, where it is not an integer from 1 to `largest`."""
    remedy = "must be an integer of at least 1"
    number = check_integer(name, value, remedy)
    if number is None:
        raise WrongTypeError(name, value, remedy)
    if number < 1:
        raise UserError(f"`{name}={number}`: must be at least 1")
    if number > largest:
        raise UserError(f"`{name}={number}`: must be at most {largest}")
    return number


def _bounded(name: str, value: float, limit: float, example: str = "") -> float:
    remedy = f"must be a number from -{limit:g} to {limit:g}{example}"
    try:
        number = float("text" if isinstance(value, (str, bytes, bool)) else value)
    except (TypeError, ValueError):
        raise WrongTypeError(name, value, remedy) from None
    if not -limit <= number <= limit:  # False for NaN
        raise UserError(f"`{name}={number}`: {remedy}")
    return number
