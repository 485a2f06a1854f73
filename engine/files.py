"""Writing files atomically, and hashing them.

All files are written through `atomic_write`, so that a crash, a kill or a full disk leaves no incomplete file under its
final name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sgi.engine.errors import UserError

TEMPORARY_MARK = ".part-"
_CHUNK_BYTES = 1 << 20


def temporary_path(target: Path) -> Path:
    """A new name beside `target` for a file or folder that is renamed to it: `.room.part-1f3a9c02.png`."""
    # Random instead of the process id, because machines can share a folder.
    return target.with_name(f".{target.stem}{TEMPORARY_MARK}{os.urandom(4).hex()}{target.suffix}")


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A context with a temporary path beside `path`, which is renamed to `path` on success and removed on failure.

    The temporary name has the suffix of `path` (`.room.part-1f3a9c02.png`), for writers that choose a format by the
    suffix. The folder must exist. Exceptions of the body and of the rename propagate; an OSError without a file, such
    as that of a full disk, or of the temporary one gets the name `path`.
    """
    target = Path(path)
    temporary = temporary_path(target)
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary), temporary):
            error.filename, error.filename2 = str(target), None
        raise


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file under a temporary name and rename it: `atomic_write` for many small files, at half of the time."""
    target = os.fspath(path)
    temporary = os.fspath(temporary_path(Path(target)))
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.replace(temporary, target)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def check_writable(
    path: str | os.PathLike[str], parameter: str = "out", *, folder: bool = False, make: bool = False
) -> None:
    """Raise UserError, naming `parameter`, unless `path` can be written; call it before long work.

    folder: `path` is a folder to write files to, which is made if it is missing; otherwise `path` is a file. make:
    missing folders above `path` are made later too; otherwise the folder of `path` must exist.
    A file is created and removed in the nearest folder that exists, because permission bits do not show a read-only or
    full disk.
    """
    target, shown = Path(path), f"`{parameter}={path}`"
    if folder and target.exists() and not target.is_dir():
        raise UserError(f"{shown}: this is a file, and a folder is needed")
    if not folder and target.is_dir():
        raise UserError(f"{shown}: this is a folder; give the name of a file")
    nearest = target if folder and target.is_dir() else target.absolute().parent
    if not nearest.is_dir() and not make:
        if nearest.exists():
            raise UserError(f"{shown}: {target.parent} is not a folder")
        raise UserError(f"{shown}: there is no folder {target.parent}; make it first")
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"{shown}: {nearest} is not a folder")
    probe = nearest / f".sgi{TEMPORARY_MARK}{os.urandom(4).hex()}"
    try:
        probe.write_bytes(b"0")
    except OSError as error:
        raise UserError(f"{shown}: cannot write there ({error.strerror}); choose another place") from None
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of the bytes of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
