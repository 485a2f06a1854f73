"""Small YAML files written by users: a mapping of plain values, or a one-line error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.trainer.packages import need

_LARGEST = 1 << 16


def read_mapping(path: str | Path, subject: str, extra: str) -> dict[str, Any] | None:
    """Return the values of a file by name, or None if it is not a mapping with text keys or longer than 64 KB.

    subject: the file in messages. extra: the pip extra that installs the YAML package. Raises UserError for a file that
    cannot be read or is not YAML, and when the package is missing.
    """
    yaml = need("yaml", subject, extra)
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.safe_load(text) if len(text) <= _LARGEST else None
    except FileNotFoundError:
        raise UserError(f"{subject}: no such file") from None
    except OSError as error:
        raise UserError(f"{subject}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{subject}: not YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return None
    return values
