"""Writing files atomically, and hashing them.

All files are written through `atomic_write`, so that a crash, a kill or a full disk leaves no incomplete file under its
final name.
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
    """A context with a temporary path beside `path`, which is renamed to `path` on success and removed on failure.

    The temporary name has the suffix of `path` (`.room.part-1f3a9c02.png`), for writers that choose a format by the
    suffix. The folder must exist. Exceptions of the body and of the rename propagate.
    """
    target = Path(path)
    # Random instead of the process id, because machines can share a folder.
    temporary = target.with_name(f".{target.stem}{TEMPORARY_MARK}{os.urandom(4).hex()}{target.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the bytes of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
