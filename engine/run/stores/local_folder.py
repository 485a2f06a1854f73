"""A local folder as a store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from sgi.engine.run import set_aside
from sgi.engine.run.shard_files import exists, place, sync, sync_one


class LocalFolder:
    """A folder that the run itself uses; see `Store`. What is finished is renamed to its name, after a flush.

    lines: a file to which `record` appends, of a process that does not write the manifest; None where it does.
    """

    uploads = 0

    def __init__(self, folder: Path, lines: Path | None = None) -> None:
        self.folder = folder
        self._lines = lines

    def shown(self, path: Path) -> Path:
        """See `Store.shown`."""
        return path

    def read_records(self) -> None:
        """See `Store.read_records`; they are in the folder."""

    def claim(self, write: Callable[[], None]) -> None:
        """See `Store.claim`; `write` has a lock."""
        write()

    def has(self, name: str, size: int, sha256: str | None = None) -> bool:
        """See `Store.has`."""
        return exists(self.folder / name, size, sha256)

    def names(self) -> Iterable[str]:
        """See `Store.names`."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(self.folder)
        return ()

    def place(self, made: Path, name: str, replaces: Callable[[], bool]) -> Path | None:
        """See `Store.place`."""
        sync(made)
        kept = place(made, self.folder / name, replaces)
        sync_one(self.folder)
        return kept

    def record(self, number: int, line: bytes) -> None:
        """See `Store.record`."""
        if self._lines is not None:
            with open(self._lines, "ab", buffering=0) as file:
                file.write(line + b"\n")
                os.fsync(file.fileno())

    def note(self, number: int) -> None:
        """See `Store.note`; `shard_loop.complete` finds the lines of workers by the names of their files."""

    def reading(self, name: str) -> AbstractContextManager[None]:
        """See `Store.reading`."""
        return nullcontext()

    def copy_aside(self, path: Path) -> Path:
        """See `Store.copy_aside`."""
        return set_aside.copy_aside(path)

    def publish(self, path: Path) -> None:
        """See `Store.publish`; the file is in its place."""

    def publish_manifest(self, path: Path) -> int:
        """See `Store.publish_manifest`; it is in its place."""
        return 0

    def stop_retrying(self) -> None:
        """See `Store.stop_retrying`; nothing is tried again."""
