"""The YAML file of a user's own map type, an `Intrinsic`:

name: roughness          # lower-case letters, digits and dashes
channels: 1              # 1 or 3
meaning: roughness of the surface, 0 mirror to 1 chalk
low: 0.0                 # the fields from here on are optional; low and high are the range of a value
high: 1.0
decoding: identity       # identity, inverse, unit, linear or palette (see sgi.engine.intrinsics.decode)
png_bits: 8              # 8, or 16 for one channel
classes: []              # names of classes, for the decoding palette
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.yaml_file import read_mapping

_DEFAULTS = {"low": 0.0, "high": 1.0, "decoding": "identity"}


def load_type(path: str | Path) -> Intrinsic:
    """Return the type that a file describes; raises UserError, naming `type_files` and the file, for other content."""
    parameter = f"`type_files={path}`"
    values = read_mapping(path, parameter, "train")
    if values is None:
        raise UserError(f"{parameter}: not a description of a type; name, channels and meaning are needed")
    classes = values.get("classes")
    span = {"high": max(1, len(classes) - 1)} if isinstance(classes, list) and classes else {}
    try:
        return Intrinsic.from_dict({**_DEFAULTS, **span, **values})
    except UserError as error:
        raise UserError(f"{parameter}: {error}") from None


def load_types(paths: Iterable[str | Path]) -> dict[str, Intrinsic]:
    """Return the types that files describe, by name; raises UserError for two descriptions of one name."""
    found: dict[str, Intrinsic] = {}
    for path in paths:
        kind = load_type(path)
        if kind.name in found:
            raise UserError(f"`type_files={path}`: a second description of {kind.name}; rename one of the types")
        found[kind.name] = kind
    return found
