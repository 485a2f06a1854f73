"""Reading of a user's YAML file as a mapping of plain values, with one-line errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.trainer.packages import need

_LARGEST = 1 << 16


def read_mapping(path: str | Path, parameter: str, extra: str) -> dict[str, Any] | None:
    """Return the mapping in a file, or None if it is not a mapping with text keys or is longer than 64 KB.

    parameter: reference to the file in messages. extra: pip extra that contains PyYAML. Raises UserError for a file
    that cannot be read or is not YAML, and if PyYAML is not installed.
    """
    yaml = need("yaml", parameter, extra)
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.safe_load(text) if len(text) <= _LARGEST else None
    except FileNotFoundError:
        raise UserError(f"{parameter}: no such file") from None
    except OSError as error:
        raise UserError(f"{parameter}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{parameter}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return None
    return values
