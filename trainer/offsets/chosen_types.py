"""Map types that a user chooses by name or describes in files, resolved to descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgi.engine import intrinsics
from sgi.engine.arguments import names_of_types
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import MAP_TYPES, Intrinsic

ALL = "all"
"""Stands for the intrinsic images of a picture, `MAP_TYPES`."""


def known_types() -> str:
    """Return the names that can be chosen, for messages."""
    return ", ".join([*(name for name in intrinsics.INTRINSICS if name != intrinsics.IMAGE), "mask-CLASS", ALL])


def chosen_types(types: str | Sequence[str] | None, own: Mapping[str, Intrinsic] | None) -> dict[str, Intrinsic]:
    """Return the descriptions of `types` by name, in the order given.

    types: names of built-in types, of `own`, or `all`; None or empty for all of `own`. own: the user's own types by
    name, None where there can be none. Raises UserError, naming `types`, for an unknown name and for an empty choice,
    and for a type of `own` that is not chosen.
    """
    chosen: dict[str, Intrinsic] = {}
    remedy = known_types() if own is None else f"{known_types()}, or describe it with `type_files`"
    own = own or {}
    for given in (names_of_types(types) if types else None) or own:
        for name in MAP_TYPES if given == ALL else (given,):
            kind = own.get(name) or intrinsics.find(name)
            if kind is None or name == intrinsics.IMAGE:
                raise UserError(f"`types={name}`: choose from {remedy}")
            chosen[name] = kind
    if unused := [name for name in own if name not in chosen]:
        raise UserError(
            f"`type_files`: its type {unused[0]} is not among `types`; choose it too, or leave its file out"
        )
    if not chosen:
        raise UserError(f"`types` is missing: choose from {known_types()}")
    return chosen
