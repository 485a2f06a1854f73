"""Optional packages: imports with one clear error line, and Hugging Face loading without its console output."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from safetensors import SafetensorError

from sgi.engine.errors import UserError

EXTRA = "teachers"


def need(module: str, parameter: str, extra: str = EXTRA) -> ModuleType:
    """Import and return `module`; raises UserError, naming the pip extra that contains it, if that fails.

    parameter: reference for messages, such as "`teacher=onnx:x.yaml`".
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f'{parameter}: needs {module} ({_first_line(error)}): pip install "sgi-engine[{extra}]"'
        ) from None


@contextmanager
def loading(parameter: str, files: str) -> Iterator[None]:
    """Turn exceptions of a Hugging Face library that cannot load a model into a UserError that names `files`."""
    try:
        yield
    except (
        OSError, ValueError, RuntimeError, LookupError, TypeError, AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        reason = _first_line(error)
        raise UserError(
            f"{parameter}: cannot be loaded ({reason}); use a Hugging Face name or a folder of {files}"
        ) from None
    except ImportError as error:
        raise UserError(
            f'{parameter}: {_first_line(error)}: pip install "sgi-engine[{EXTRA}]" and the package it names'
        ) from None


def missing_weights(
    parameter: str, report: Mapping[str, Any], optional: Callable[[str], object] = lambda name: False
) -> list[str]:
    """Return the names of the weights that a file lacks, which the library initialises at random.

    report: the loading report of `from_pretrained`. optional: whether the network works without the weight of a name.
    Raises UserError for a missing weight that is not optional, and for a weight of another shape.
    """
    missing = sorted(report["missing_keys"])
    wrong = [name for name in missing if not optional(name)] + [key[0] for key in report["mismatched_keys"]]
    if wrong:
        raise UserError(f"{parameter}: {wrong[0]} is not in its file or has another shape ({len(wrong)} such weights)")
    return missing


@contextmanager
def quiet(logging: Any) -> Iterator[None]:
    """Suppress all console output of a Hugging Face library but errors; logging: its module `utils.logging`."""
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
