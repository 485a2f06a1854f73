"""Small YAML files that a user wrote: a mapping of plain values, or one clear line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.trainer.packages import need

_LARGEST = 1 << 16


def read_mapping(path: str | Path, flag: str, extra: str) -> dict[str, Any] | None:
    """What a file says by name, or None if it is no mapping with names or longer than 64 KB.

    flag: names the file in messages; extra: the pip extra that brings YAML. Raises UserError for a file that cannot be
    read or is no YAML, and when the package is missing.
    """
    yaml = need("yaml", flag, extra)
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.safe_load(text) if len(text) <= _LARGEST else None
    except FileNotFoundError:
        raise UserError(f"{flag}: no such file") from None
    except OSError as error:
        raise UserError(f"{flag}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{flag}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return None
    return values
