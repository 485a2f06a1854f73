"""The error for a map that a folder should have and that cannot be read."""

from __future__ import annotations

from pathlib import Path

from sgi.engine.errors import UserError, one_line


class UnreadableError(UserError):
    """A file or shard is missing or damaged. reason: what is wrong with it, without a remedy."""

    def __init__(self, path: Path, cause: Exception) -> None:
        missing = isinstance(cause, FileNotFoundError)
        self.reason = "missing" if missing else f"damaged ({one_line(str(cause), 80)})"
        again = "run again, which makes it" if missing else "run again with `verify=True`, which writes it again"
        super().__init__(f"{path}: {self.reason}; {again}")
