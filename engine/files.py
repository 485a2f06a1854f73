"""Files that appear whole or not at all, and their hashes.

Everything the project writes goes through `atomic_write`, so a crash, a kill or a full disk never leaves a file
that looks finished and is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY_MARK = ".part-"
_CHUNK_BYTES = 1 << 20


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name keeps the suffix of `path` (`.room.part-1f3a9c02.png`), so writers that choose a format by
    suffix work. The folder must exist. Raises whatever the body or the rename raises.
    """
    target = Path(path)
    # Random, not the process id: two machines may share a folder.
    temporary = target.with_name(f".{target.stem}{TEMPORARY_MARK}{os.urandom(4).hex()}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes: 64 hex digits of SHA-256."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
