"""The cache of exported models: files `KEY-SHA256.onnx` in the user's cache folder.

KEY is a hash of everything that determines the model, SHA256 that of the file. A file with another hash is damaged, and
is made again. Files appear complete or not at all. The least recently used files are removed above a limit.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sgi.engine.errors import UserError, one_line
from sgi.engine.files import TEMPORARY_MARK, sha256_file
from sgi.engine.progress import SILENT, Progress
from sgi.engine.user_cache import user_cache

SIZE_VARIABLE = "SGI_CACHE_SIZE"
DEFAULT_SIZE = 4 << 30
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)
_ENTRY = re.compile(r"(?P<key>[0-9a-f]{64})-(?P<sha256>[0-9a-f]{64})\.onnx")
_LEFT_OVER = re.compile(rf"\.+(?P<key>[0-9a-f]{{64}})({re.escape(TEMPORARY_MARK)}.*\.onnx|\.lock)")
_STALE_SECONDS = 24 * 3600
"""Age at which a temporary file is one of a process that was killed, where locks do not show it."""


@dataclass(frozen=True)
class ModelCache:
    """The exported models of a folder. limit: bytes that they may take together."""

    folder: Path
    limit: int = DEFAULT_SIZE

    @classmethod
    def of_user(cls) -> ModelCache:
        """The cache in the user's cache folder, with the limit of SGI_CACHE_SIZE; raises UserError for a wrong one."""
        return cls(user_cache() / "models", _limit(os.environ.get(SIZE_VARIABLE)))

    def get(self, key: str, make: Callable[[Path], object], progress: Progress = SILENT) -> tuple[Path, str]:
        """The path and the SHA-256 of the model of a key; `make` writes it to a given path if it is missing.

        key: 64 hexadecimal digits. Processes that want the same model wait for the one that makes it. The model is kept
        even if it alone exceeds the limit. Raises UserError, with the remedy, for a folder that cannot be written.
        """
        found = self._find(key)
        if found is not None:
            return found
        with _write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with _lock(self._lock_path(key), progress):
                found = self._find(key)  # another process made it in the meantime
                if found is None:
                    found = self._make(key, make)
                self._shrink(found[0])
        return found

    def models(self) -> list[Path]:
        """The files of the cache, the least recently used first."""
        used = {}
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _ENTRY.fullmatch(path.name):
                    with suppress(FileNotFoundError):  # removed by another process
                        used[path] = path.stat().st_mtime_ns
        return sorted(used, key=lambda path: (used[path], path.name))

    def size(self) -> int:
        """Bytes of all models."""
        return sum(_size(path) for path in self.models())

    def clear(self) -> tuple[int, int]:
        """Remove all models; returns their number and their bytes. Raises UserError for one that cannot be removed."""
        models = self.models()
        freed = sum(map(_size, models))
        for path in models:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"{path}: cannot be removed ({error.strerror})") from None
        self._sweep()
        return len(models), freed

    def _find(self, key: str) -> tuple[Path, str] | None:
        """The intact file of a key, marked as used; damaged ones are removed."""
        for path in self.models():
            match = _ENTRY.fullmatch(path.name)
            if not match or match["key"] != key:
                continue
            try:
                intact = sha256_file(path) == match["sha256"]
            except OSError:
                continue
            with suppress(OSError):  # a folder that cannot be written can be read
                if intact:
                    os.utime(path)
                else:
                    path.unlink()
            if intact:
                return path, match["sha256"]
        return None

    def _make(self, key: str, make: Callable[[Path], object]) -> tuple[Path, str]:
        temporary = self.folder / f".{key}{TEMPORARY_MARK}{os.urandom(4).hex()}.onnx"
        try:
            make(temporary)
            sha256 = sha256_file(temporary)
            path = self.folder / f"{key}-{sha256}.onnx"
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        return path, sha256

    def _shrink(self, keep: Path) -> None:
        """Remove the least recently used models above the limit."""
        excess = self.size() - self.limit
        for path in self.models():
            if excess > 0 and path != keep:
                excess -= _size(path)
                path.unlink(missing_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Remove the files that killed processes left; a process holds the lock of a key while it writes its model."""
        left: dict[str, list[Path]] = {}
        with suppress(OSError):
            for path in self.folder.iterdir():
                if match := _LEFT_OVER.fullmatch(path.name):
                    left.setdefault(match["key"], []).append(path)
        for key, paths in left.items():
            with suppress(OSError):
                _remove_unused(self._lock_path(key), paths)

    def _lock_path(self, key: str) -> Path:
        return self.folder / f".{key}.lock"


def _limit(text: str | None) -> int:
    if text is None or not text.strip():
        return DEFAULT_SIZE
    match = _SIZE.fullmatch(text)
    if not match:
        raise UserError(f"the environment variable {SIZE_VARIABLE}={one_line(text, 40)}: write a size such as 4GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Exclusive work on one model; the file is removed at the end, after which others look for the model first."""
    descriptor = _locked(path, progress)
    try:
        os.pwrite(descriptor, b"0", 0)  # an empty file does not show that the disk is full
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path, progress: Progress) -> int:
    """The descriptor of a locked file that has this path, also after the process before removed the file."""
    reported = False
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not reported:
                    progress.message("waiting for another process, which exports the same model")
                reported = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: the model is made twice, and both are complete
            return descriptor
        except BaseException:  # Ctrl-C while it waits
            os.close(descriptor)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)


def _remove_unused(lock: Path, paths: Sequence[Path]) -> None:
    """Remove files that processes wrote while they held a lock, unless one holds it."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), lock.stat()):
            for path in {*paths, lock}:
                path.unlink(missing_ok=True)
    except BlockingIOError:
        return
    except OSError:  # a file system without locks
        for path in paths:
            if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextmanager
def _write_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache of models {folder} cannot be written ({one_line(error.strerror or str(error), 100)}): free "
            "space there, set XDG_CACHE_HOME to another folder, or use `cache=False`"
        ) from None
