"""The version of the distribution: that of sgi-engine, whose sources it is built from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1]


def dynamic_metadata(field: str, settings: dict[str, Any] | None = None, *_: object) -> str:
    """See scikit-build-core's dynamic metadata; `field` is version."""
    copy = HERE / "source"
    names: dict[str, str] = {}
    exec(((copy if copy.exists() else HERE.parents[2]) / "engine" / "version.py").read_text(), names)
    return names["__version__"]
