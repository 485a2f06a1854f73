"""Optional packages: importing them, and turning their errors into one-line messages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from safetensors import SafetensorError

from sgi.engine.errors import UserError

EXTRA = "teachers"


def need(module: str, subject: str, extra: str = EXTRA) -> ModuleType:
    """Import `module` and return it.

    subject: what needs it, at the start of messages, such as a parameter with its value in backticks. Raises UserError,
    naming subject and pip extra, if the import fails.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'{subject}: needs {module} ({_first_line(error)}): pip install "sgi-engine[{extra}]"'
        ) from None


@contextmanager
def loading(subject: str, files: str) -> Iterator[None]:
    """Turn the errors of a Hugging Face library that cannot load a model into a UserError that names `files`."""
    try:
        yield
    except (
        OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        reason = _first_line(error)
        raise UserError(
            f"{subject}: cannot be loaded ({reason}); give a Hugging Face name or a folder of {files}"
        ) from None
    except ImportError as error:
        raise UserError(
            f'{subject}: {_first_line(error)}: pip install "sgi-engine[{EXTRA}]" and the package named here'
        ) from None


def missing_weights(
    subject: str, report: Mapping[str, Any], optional: Callable[[str], object] = lambda name: False
) -> list[str]:
    """Return the names of the weights that a model file lacks, by its loading report; they have random values.

    Raises UserError unless all of them are `optional`, and if a weight has another shape.
    """
    missing = sorted(report["missing_keys"])
    wrong = [name for name in missing if not optional(name)] + [key[0] for key in report["mismatched_keys"]]
    if wrong:
        raise UserError(
            f"{subject}: {wrong[0]} is missing from its file or has another shape ({len(wrong)} such weights)"
        )
    return missing


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Limit a Hugging Face library, given its `utils.logging`, to errors, and restore its settings at the end."""
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
