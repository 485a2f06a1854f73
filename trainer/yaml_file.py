"""Reading of a user's YAML file as a mapping of plain values, with one-line errors.

A few hundred bytes of aliases can stand for gigabytes, so their number is limited before anything is built, and the
values are counted before anything is formatted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sgi.engine.budget import MAX_DEPTH, check_plain, read_text
from sgi.engine.errors import UserError, one_line
from sgi.engine.foreign_file import foreign
from sgi.trainer.packages import need

_LARGEST = 1 << 16
_MOST_ALIASES = 8


def read_mapping(path: str | Path, parameter: str, extra: str) -> dict[str, Any] | None:
    """Return the mapping in a file, or None if it is not a mapping with text keys.

    parameter: reference to the file in messages. extra: pip extra that contains PyYAML. Raises UserError for a file
    that cannot be read, is not YAML, is longer than 64 KB, has more than 8 aliases or other values than text, finite
    numbers, lists and mappings, and if PyYAML is not installed.
    """
    yaml = need("yaml", parameter, extra)
    try:
        text = read_text(path, _LARGEST)
        aliases = depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            aliases += isinstance(event, yaml.AliasEvent)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if aliases > _MOST_ALIASES:
                raise UserError(f"{parameter}: more than {_MOST_ALIASES} aliases; write the values themselves")
            if depth > MAX_DEPTH:  # PyYAML takes the square of the depth
                raise ValueError("nested too deeply")
        values = yaml.safe_load(text)
        if isinstance(values, dict):
            check_plain(list(values.values()))
    except FileNotFoundError:
        raise UserError(f"{parameter}: no such file") from None
    except OSError as error:
        raise _not_yaml(path, parameter, f"cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _not_yaml(path, parameter, f"not YAML ({_reason(error)})") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML raises exceptions of many types for wrong dates, numbers and tags.
        raise UserError(f"{parameter}: not plain values ({_reason(error)})") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        return None
    return values


def _not_yaml(path: str | Path, parameter: str, otherwise: str) -> UserError:
    """The error for a file that is not YAML: what it is, if that is known and not a text."""
    what = foreign(path, "name the YAML file that describes it")
    is_text = not what or what.startswith(("a text", "a JSON text"))
    return UserError(f"{parameter}: {otherwise if is_text else f'not YAML but {what}'}")


def _reason(error: Exception) -> str:
    return one_line((str(error).splitlines() or [type(error).__name__])[0], 80)
