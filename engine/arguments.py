"""Checks of arguments that the functions of several rooms take."""

from __future__ import annotations

from collections.abc import Iterable

from sgi.engine.errors import UserError

PSI_LIMIT = 100.0
"""Largest absolute psi; models compute in float32, and generators are used with psi from -2 to 2."""


def check_psi(psi: float) -> float:
    """`psi`; raises UserError where it is not a number from -100 to 100."""
    if not -PSI_LIMIT <= psi <= PSI_LIMIT:  # False for NaN
        raise UserError(f"`psi={psi}`: must be a number from -{PSI_LIMIT:g} to {PSI_LIMIT:g}, such as 0.7")
    return psi


def check_batch(batch: int) -> int:
    """`batch`; raises UserError where it is below 1."""
    if batch < 1:
        raise UserError(f"`batch={batch}`: must be at least 1")
    return batch


def names_of_types(types: str | Iterable[str] | None) -> list[str] | None:
    """`types` as a list, a string as one name, None as None; raises UserError for an empty list."""
    if types is None:
        return None
    names = [types] if isinstance(types, str) else list(types)
    if not names:
        raise UserError("`types`: name at least one type, or pass None for the default")
    return names
