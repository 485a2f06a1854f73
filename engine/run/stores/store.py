"""The interface of a store: where the finished shards of a run, their lines, and run.json are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Where the files of a run are.

    folder: a local folder with run.json and the manifest, in which shards are made. A local store is this folder. That
    of an object store is temporary; the store itself has copies of what is finished.

    uploads: shards that are moved to their places at once, while others are made; 0 if the making waits for it.

    The methods raise UserError, naming `outdir`, for a store that does not take or give files; those of a local store
    raise OSError. Several threads may call them at once.
    """

    folder: Path
    uploads: int

    def shown(self, path: Path) -> Path | str:
        """A path in `folder` as users know it: the path itself, or a URL."""
        ...

    def read_records(self) -> None:
        """Put run.json, manifest.jsonl and lines that are not in it, as the manifest of a part, into `folder`.

        Raises UserError for a store that cannot be reached, and for one with shards and no run.json.
        """
        ...

    def claim(self, write: Callable[[], None]) -> None:
        """Call `write`, which writes or compares run.json in `folder`, and make its run.json that of the store.

        `write` is called again if another run wrote run.json in between; it raises UserError for other settings.
        """
        ...

    def has(self, name: str, size: int, sha256: str | None = None) -> bool:
        """Whether a shard of this name and size, in bytes, exists, and has this hash, as `sha256_of` gives it."""
        ...

    def names(self) -> Iterable[str]:
        """The names of the files and folders of the run; of folders not what they contain."""
        ...

    def place(self, made: Path, name: str, replaces: Callable[[], bool]) -> Path | None:
        """Move a complete shard from `folder` to its name, durably; returns the new name of what was there, else None.

        replaces: whether what is there is a shard of this run that the new one replaces; others are kept as
        NAME.set-aside. A shard with the same bytes is kept as it is.
        """
        ...

    def record(self, number: int, line: bytes) -> None:
        """Keep the line of a shard that is in its place, until `publish_manifest`, where the manifest does not."""
        ...

    def note(self, number: int) -> None:
        """Note that another process has recorded a shard of this run, whose line the manifest has now."""
        ...

    def reading(self, name: str) -> AbstractContextManager[None]:
        """A context in which `folder / name` is a shard that can be read."""
        ...

    def copy_aside(self, path: Path) -> Path:
        """Copy a file of `folder` to a free name NAME.set-aside of the store; returns that name in `folder`."""
        ...

    def publish(self, path: Path) -> None:
        """Copy a complete file of `folder` to the store, such as preview.png."""
        ...

    def publish_manifest(self, path: Path) -> int:
        """Copy the manifest of `folder`, which has the lines of all shards, to the store.

        Returns the number of recorded lines that the store had one by one, and has no more.
        """
        ...

    def stop_retrying(self) -> None:
        """Let calls that fail from now on fail at once, because the run is to end."""
        ...
