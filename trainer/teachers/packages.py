"""Packages that only some teachers need: one clear line where one is missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from sgi.engine.errors import UserError

EXTRA = "teachers"


def need(module: str, flag: str) -> ModuleType:
    """Import `module` for what `flag` asks; raises UserError, naming the flag and the extra, if it cannot be."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f'{flag}: needs the package {module} ({error}): pip install "sgi-engine[{EXTRA}]"') from None
