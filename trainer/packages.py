"""Packages that only some teachers need, and what they say while they load: one clear line where anything fails."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from safetensors import SafetensorError

from sgi.engine.errors import UserError

EXTRA = "teachers"


def need(module: str, flag: str, extra: str = EXTRA) -> ModuleType:
    """Import `module` for what `flag` asks; raises UserError, naming the flag and the extra, if it cannot be."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{flag}: needs {module} ({_first_line(error)}): pip install "sgi-engine[{extra}]"') from None


@contextmanager
def loading(flag: str, files: str) -> Iterator[None]:
    """Turn whatever a Hugging Face library raises over a model it cannot load into a UserError that names `files`."""
    try:
        yield
    except (
        OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        reason = _first_line(error)
        raise UserError(
            f"{flag}: cannot be loaded ({reason}); give a Hugging Face name or a folder of {files}"
        ) from None
    except ImportError as error:
        raise UserError(f'{flag}: {_first_line(error)}: pip install "sgi-engine[{EXTRA}]" and what it names') from None


def whole(flag: str, report: Mapping[str, Any], optional: Callable[[str], object] = lambda name: False) -> list[str]:
    """Names of the weights that a loading report says a file left out; the library drew those at random.

    Raises UserError unless all of them are `optional`, and none is of another shape.
    """
    missing = sorted(report["missing_keys"])
    wrong = [name for name in missing if not optional(name)] + [key[0] for key in report["mismatched_keys"]]
    if wrong:
        raise UserError(f"{flag}: {wrong[0]} is not in its file, or of another shape ({len(wrong)} weights are so)")
    return missing


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Silence a Hugging Face library, by its `utils.logging`, but for errors; put back what was set before."""
    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
