"""Types of a user's own: an `Intrinsic` as a small YAML file.

name: roughness          # lower-case letters, digits and dashes
channels: 1              # 1 or 3
meaning: roughness of the surface, 0 mirror to 1 chalk
low: 0.0                 # optional from here on: the range of a value
high: 1.0
decoding: identity       # identity, inverse, unit, linear or palette (see sgi.engine.intrinsics.decode)
png_bits: 8              # 8, or 16 of one channel
classes: []              # names, for the decoding palette
"""

from __future__ import annotations

from pathlib import Path

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.yaml_file import read_mapping

_DEFAULTS = {"low": 0.0, "high": 1.0, "decoding": "identity"}


def load_type(path: str | Path) -> Intrinsic:
    """The type that a file describes; raises UserError, naming the file, for anything else."""
    flag = f"--type-file {path}"
    values = read_mapping(path, flag, "train")
    if values is None:
        raise UserError(f"{flag}: describes no type; give name, channels, meaning and what else is not usual")
    classes = values.get("classes")
    span = {"high": max(1, len(classes) - 1)} if isinstance(classes, list) and classes else {}
    try:
        return Intrinsic.from_dict({**_DEFAULTS, **span, **values})
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None
