"""The user's folder of caches. Everything in it can be made again, and can be deleted at any time."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """`$XDG_CACHE_HOME/sgi-engine`, by default `~/.cache/sgi-engine`; it may not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sgi-engine"
