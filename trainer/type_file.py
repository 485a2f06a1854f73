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
from sgi.trainer.teachers.packages import need

_LARGEST = 1 << 16
_DEFAULTS = {"low": 0.0, "high": 1.0, "decoding": "identity"}


def load_type(path: str | Path) -> Intrinsic:
    """The type that a file describes; raises UserError, naming the file, for anything else."""
    flag = f"--type-file {path}"
    yaml = need("yaml", flag, "train")
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.safe_load(text) if len(text) <= _LARGEST else None
    except FileNotFoundError:
        raise UserError(f"{flag}: no such file") from None
    except OSError as error:
        raise UserError(f"{flag}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{flag}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"{flag}: describes no type; give name, channels, meaning and what else is not usual")
    classes = values.get("classes")
    span = {"high": max(1, len(classes) - 1)} if isinstance(classes, list) and classes else {}
    try:
        return Intrinsic.from_dict({**_DEFAULTS, **span, **values})
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None
