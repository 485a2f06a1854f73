"""A URL as a store: an object store such as S3, through fsspec.

Object stores neither append nor rename. Shards are made in a temporary folder and uploaded; an object appears when its
upload is complete. Then the line of the shard becomes a small object of its own, `manifests/shard-000042.jsonl`, so
that parts of a run on many machines need no locks. At the end of a run all lines become manifest.jsonl, and the small
objects are removed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.run.manifest import MANIFEST
from sgi.engine.run.run_file import RUN_FILE, check_described, read_run
from sgi.engine.run.set_aside import SET_ASIDE
from sgi.engine.run.shard_files import files_of, remove
from sgi.engine.run.stores.objects import Objects
from sgi.engine.run.stores.remote_calls import RemoteCalls

LINES = "manifests"
"""Folder of the lines of shards that are not in manifest.jsonl yet."""
_LINE_NAME = re.compile(r"shard-\d{6,10}\.jsonl")
_LINES_FILE = "manifest-0-of-0.jsonl"
"""What they are together in the temporary folder: the manifest of a part."""
_GROUP = 2
"""Digits of a shard's number that a listing leaves open: sizes are listed by 100 shards."""


class ObjectStore:
    """The objects below a URL; see `Store`.

    url: shown in messages. root: the path of fsspec for it. folder: a temporary folder. calls: what calls `files`.
    """

    uploads = 3

    def __init__(self, url: str, files: Any, root: str, folder: Path, calls: RemoteCalls) -> None:
        self.url = url
        self.folder = folder
        self._objects = Objects(files, root, calls)
        self._calls = calls
        self._sizes: dict[str, dict[str, int]] = {}  # beginning of names -> bytes of shards by name
        self._lines: set[str] = set()  # objects with lines that the manifest of `folder` has too
        self._manifest = ""  # hash of the manifest of the store, when it was read

    def close(self) -> None:
        """End the threads."""
        self._objects.close()

    def shown(self, path: Path) -> str:
        """See `Store.shown`."""
        inner = path.relative_to(self.folder).as_posix()
        return self.url if inner == "." else f"{self.url}/{inner}"

    def read_records(self) -> None:
        """See `Store.read_records`."""
        if not self._download(RUN_FILE):
            check_described(self.url, self.names())
            return
        # First the lines: another run can move them to manifest.jsonl in between.
        lines = self._read_lines()
        if self._download(MANIFEST):
            self._manifest = sha256_file(self.folder / MANIFEST)
        if lines:
            (self.folder / _LINES_FILE).write_bytes(b"".join(lines))

    def claim(self, write: Callable[[], None]) -> None:
        """See `Store.claim`: run.json is created where there was none, and compared after it was written."""
        path = self.folder / RUN_FILE
        self._objects.make_folder(LINES)
        while True:
            found = self._download(RUN_FILE)
            before = path.read_bytes() if found else None
            write()
            own = path.read_bytes()
            if own == before:
                return
            try:
                (self._objects.put if found else self._objects.create)(RUN_FILE, own)
            except FileExistsError:
                continue
            except FileNotFoundError as error:
                raise self._calls.refusal(error) from error
            if self._objects.get(RUN_FILE) == own:
                return

    def has(self, name: str, size: int, sha256: str | None = None) -> bool:
        """See `Store.has`."""
        group = name.partition(".")[0][:-_GROUP]
        if group not in self._sizes:
            self._sizes[group] = self._objects.sizes_of(group)
        found = self._sizes[group].get(name)
        return found == size and (sha256 is None or self._sha256_of(name) == sha256)

    def names(self) -> Iterable[str]:
        """See `Store.names`."""
        return self._objects.names()

    def place(self, made: Path, name: str, replaces: Callable[[], bool]) -> Path | None:
        """See `Store.place`: uploads the files that the store does not have with the same bytes."""
        own = {_inner(path, made): path for path in files_of(made)}
        there = self._objects.sizes(name)
        same = {
            inner
            for inner, size in there.items()
            if inner in own
            and own[inner].stat().st_size == size
            and self._objects.sha256(_join(name, inner)) == sha256_file(own[inner])
        }
        kept = None
        others = sorted(there.keys() - same)
        if others:
            if not replaces():
                kept = self._free_name(name)
                self._objects.all(
                    self._objects.copy, [(_join(name, inner), _join(kept, inner)) for inner in sorted(there)]
                )
            self._objects.remove([_join(name, inner) for inner in others if inner not in own])
        self._objects.all(
            self._objects.upload, [(own[inner], _join(name, inner)) for inner in sorted(own.keys() - same)]
        )
        self._sizes.get(name.partition(".")[0][:-_GROUP], {})[name] = sum(path.stat().st_size for path in own.values())
        remove(made)
        return self.folder / kept if kept else None

    def record(self, number: int, line: bytes) -> None:
        """See `Store.record`."""
        self._objects.put(_line_name(number), line)
        self.note(number)

    def note(self, number: int) -> None:
        """See `Store.note`."""
        self._lines.add(_line_name(number))

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """See `Store.reading`: downloads the shard."""
        target = self.folder / name
        try:
            self._objects.all(
                self._objects.fetch,
                [(_join(name, inner), target / inner if inner else target) for inner in self._objects.sizes(name)],
            )
            yield
        finally:
            remove(target)

    def copy_aside(self, path: Path) -> Path:
        """See `Store.copy_aside`."""
        free = self._free_name(path.name)
        self._objects.upload(path, free)
        return self.folder / free

    def publish(self, path: Path) -> None:
        """See `Store.publish`."""
        self._objects.upload(path, path.name)

    def publish_manifest(self, path: Path) -> int:
        """See `Store.publish_manifest`; raises UserError if run.json has been replaced by that of another run."""
        own = read_run(self.folder)
        self._download(RUN_FILE)
        found = read_run(self.folder)
        if own is None or found is None or own.record != found.record:
            raise UserError(f"`outdir={self.url}`: another run has replaced {RUN_FILE}; choose another `outdir`")
        if sha256_file(path) != self._manifest:
            self._objects.upload(path, MANIFEST)
        lines, self._lines = self._lines, set()
        self._objects.remove(sorted(lines))
        return len(lines)

    def stop_retrying(self) -> None:
        """See `Store.stop_retrying`."""
        self._calls.stop_retrying()

    def _download(self, name: str) -> bool:
        """Copy an object to `folder`; returns whether it exists."""
        try:
            self._objects.fetch(name, self.folder / name)
        except FileNotFoundError:
            (self.folder / name).unlink(missing_ok=True)
            return False
        return True

    def _read_lines(self) -> list[bytes]:
        """The lines that are objects."""
        names = [f"{LINES}/{name}" for name in self._objects.names(LINES) if _LINE_NAME.fullmatch(name)]
        found = self._objects.read_all(names)
        self._lines |= found.keys()
        return [data.strip() + b"\n" for data in found.values()]

    def _sha256_of(self, name: str) -> str:
        """The hash of a shard, as `shard_files.sha256_of` gives it of its files."""
        inner = sorted(self._objects.sizes(name), key=PurePosixPath)
        if inner == [""]:
            return self._objects.sha256(name)
        hashes = self._objects.transfers.map(lambda one: self._objects.sha256(_join(name, one)), inner)
        lines = (f"{found}  {one}\n" for one, found in zip(inner, hashes, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _free_name(self, name: str) -> str:
        number = 1
        while self._objects.sizes(free := f"{name}{SET_ASIDE}{'' if number == 1 else f'-{number}'}"):
            number += 1
        return free


def _line_name(number: int) -> str:
    """The object of the line of a shard."""
    return f"{LINES}/shard-{number:06d}.jsonl"


def _inner(path: Path, shard: Path) -> str:
    """The name of a file in a shard; empty where the shard is a file."""
    return "" if path == shard else path.relative_to(shard).as_posix()


def _join(name: str, inner: str) -> str:
    return f"{name}/{inner}" if inner else name
