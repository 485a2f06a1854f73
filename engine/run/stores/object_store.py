"""A URL as a store: an object store such as S3, through fsspec.

Object stores neither append nor rename. Shards are made in a temporary folder and uploaded; an object appears when its
upload is complete. Then the line of the shard becomes a small object of its own, `manifests/shard-000042.jsonl`, so
that parts of a run on many machines need no locks. At the end of a run all lines become manifest.jsonl, and the small
objects are removed.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, sha256_file
from sgi.engine.run.manifest import MANIFEST
from sgi.engine.run.run_file import RUN_FILE, check_described, read_run
from sgi.engine.run.set_aside import SET_ASIDE
from sgi.engine.run.shard_files import files_of, remove
from sgi.engine.run.stores.remote_calls import RemoteCalls

LINES = "manifests"
"""Folder of the lines of shards that are not in manifest.jsonl yet."""
_LINE_NAME = re.compile(r"shard-\d{6,10}\.jsonl")
_LINES_FILE = "manifest-0-of-0.jsonl"
"""What they are together in the temporary folder: the manifest of a part."""
_TRANSFERS = 8
"""Files that are copied at once."""
_PART = 1 << 24
_MOST_PARTS = 10_000
_LINES_AT_ONCE = 1000
_S3 = {"s3", "s3a"}
_BUCKETS = {*_S3, "abfs", "az", "gcs", "gs", "oss", "r2"}
"""Protocols of stores without folders, where `makedirs` would make a bucket."""
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
        self._files = files
        self._root = root
        self._calls = calls
        self._sizes: dict[str, dict[str, int]] = {}  # beginning of names -> bytes of shards by name
        self._lines: set[str] = set()  # objects with lines that the manifest of `folder` has too
        self._manifest = ""  # hash of the manifest of the store, when it was read
        self._transfers = ThreadPoolExecutor(_TRANSFERS, "sgi-transfer")
        protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
        self._is_s3 = bool(protocols & _S3)
        self._has_buckets = bool(protocols & _BUCKETS)

    def close(self) -> None:
        """End the threads."""
        self._transfers.shutdown(cancel_futures=True)

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
        if not self._has_buckets:
            self._calls(self._files.makedirs, self._path(LINES), exist_ok=True)
        while True:
            found = self._download(RUN_FILE)
            before = path.read_bytes() if found else None
            write()
            own = path.read_bytes()
            if own == before:
                return
            try:
                self._calls(self._put_bytes if found else self._create, RUN_FILE, own)
            except FileExistsError:
                continue
            except FileNotFoundError as error:
                raise self._calls.refusal(error) from error
            if self._get(RUN_FILE) == own:
                return

    def has(self, name: str, size: int, sha256: str | None = None) -> bool:
        """See `Store.has`."""
        group = name.partition(".")[0][:-_GROUP]
        if group not in self._sizes:
            self._sizes[group] = self._sizes_of(group)
        found = self._sizes[group].get(name)
        return found == size and (sha256 is None or self._sha256_of(name) == sha256)

    def names(self) -> Iterable[str]:
        """See `Store.names`."""
        try:
            found = self._calls(self._files.ls, self._root, detail=False)
        except FileNotFoundError:
            return []
        return [PurePosixPath(path).name for path in found]

    def place(self, made: Path, name: str, replaces: Callable[[], bool]) -> Path | None:
        """See `Store.place`: uploads the files that the store does not have with the same bytes."""
        own = {_inner(path, made): path for path in files_of(made)}
        there = self._list(name)
        same = {
            inner
            for inner, size in there.items()
            if inner in own
            and own[inner].stat().st_size == size
            and self._hash(_join(name, inner)) == sha256_file(own[inner])
        }
        kept = None
        others = sorted(there.keys() - same)
        if others:
            if not replaces():
                kept = self._free_name(name)
                self._all(self._copy, [(_join(name, inner), _join(kept, inner)) for inner in sorted(there)])
            self._remove([_join(name, inner) for inner in others if inner not in own])
        self._all(self._upload, [(own[inner], _join(name, inner)) for inner in sorted(own.keys() - same)])
        self._sizes.get(name.partition(".")[0][:-_GROUP], {})[name] = sum(path.stat().st_size for path in own.values())
        remove(made)
        return self.folder / kept if kept else None

    def record(self, number: int, line: bytes) -> None:
        """See `Store.record`."""
        self._calls(self._put_bytes, _line_name(number), line)
        self.note(number)

    def note(self, number: int) -> None:
        """See `Store.note`."""
        self._lines.add(_line_name(number))

    @contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """See `Store.reading`: downloads the shard."""
        target = self.folder / name
        try:
            self._all(
                self._fetch, [(_join(name, inner), target / inner if inner else target) for inner in self._list(name)]
            )
            yield
        finally:
            remove(target)

    def copy_aside(self, path: Path) -> Path:
        """See `Store.copy_aside`."""
        free = self._free_name(path.name)
        self._upload(path, free)
        return self.folder / free

    def publish(self, path: Path) -> None:
        """See `Store.publish`."""
        self._upload(path, path.name)

    def publish_manifest(self, path: Path) -> int:
        """See `Store.publish_manifest`; raises UserError if run.json has been replaced by that of another run."""
        own = read_run(self.folder)
        self._download(RUN_FILE)
        found = read_run(self.folder)
        if own is None or found is None or own.record != found.record:
            raise UserError(f"`outdir={self.url}`: another run has replaced {RUN_FILE}; choose another `outdir`")
        if sha256_file(path) != self._manifest:
            self._upload(path, MANIFEST)
        lines, self._lines = self._lines, set()
        self._remove(sorted(lines))
        return len(lines)

    def stop_retrying(self) -> None:
        """See `Store.stop_retrying`."""
        self._calls.stop_retrying()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _all(self, function: Callable[..., None], arguments: Iterable[tuple[Any, ...]]) -> None:
        """Call a function with each of these arguments, several at once; raises the first error."""
        for future in [self._transfers.submit(function, *row) for row in arguments]:
            future.result()

    def _put_bytes(self, name: str, data: bytes) -> None:
        self._files.pipe_file(self._path(name), data)

    def _create(self, name: str, data: bytes) -> None:
        """Put an object that must not exist; raises FileExistsError if it does."""
        path = self._path(name)
        try:
            self._files.pipe_file(path, data, mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or self._files.exists(path):
                raise FileExistsError from error
            if error.errno != errno.ENOSYS:
                raise
            self._put_bytes(name, data)  # a store without conditional writes

    def _get(self, name: str) -> bytes | None:
        """The bytes of a small object; None if there is none."""
        try:
            found: bytes = self._calls(self._files.cat_file, self._path(name))
        except FileNotFoundError:
            return None
        return found

    def _upload(self, path: Path, name: str) -> None:
        options: dict[str, int] = {}
        if self._is_s3:
            # By default s3fs keeps up to 500 MB of a file in memory.
            options = {"chunksize": max(_PART, -(-path.stat().st_size // _MOST_PARTS)), "max_concurrency": 4}
        try:
            self._calls(self._files.put_file, str(path), self._path(name), **options)
        except FileNotFoundError as error:
            raise self._calls.refusal(error) from error

    def _download(self, name: str) -> bool:
        """Copy an object to `folder`; returns whether it exists."""
        try:
            self._fetch(name, self.folder / name)
        except FileNotFoundError:
            (self.folder / name).unlink(missing_ok=True)
            return False
        return True

    def _fetch(self, name: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary:
            self._calls(self._files.get_file, self._path(name), str(temporary))

    def _copy(self, name: str, other: str) -> None:
        self._calls(self._files.cp_file, self._path(name), self._path(other))

    def _remove(self, names: list[str]) -> None:
        for start in range(0, len(names), _LINES_AT_ONCE):
            paths = [self._path(name) for name in names[start : start + _LINES_AT_ONCE]]
            try:
                self._calls(self._files.rm, paths)
            except FileNotFoundError:  # another run removed some in between
                self._all(self._remove_one, [(path,) for path in paths])

    def _remove_one(self, path: str) -> None:
        try:
            self._calls(self._files.rm_file, path)
        except FileNotFoundError:
            return

    def _read_lines(self) -> list[bytes]:
        """The lines that are objects."""
        try:
            paths = self._calls(self._files.ls, self._path(LINES), detail=False)
        except FileNotFoundError:
            return []
        paths = [path for path in paths if _LINE_NAME.fullmatch(PurePosixPath(path).name)]
        found: list[bytes] = []
        for start in range(0, len(paths), _LINES_AT_ONCE):
            some = self._calls(self._cat, paths[start : start + _LINES_AT_ONCE])
            found += [data.strip() + b"\n" for data in some.values()]
            self._lines |= {f"{LINES}/{PurePosixPath(path).name}" for path in some}
        return found

    def _cat(self, paths: list[str]) -> dict[str, bytes]:
        """The bytes of small objects by path, without those that do not exist any more."""
        open_ends = [None] * len(paths)
        found = dict(zip(paths, self._files.cat_ranges(paths, open_ends, open_ends, on_error="return"), strict=True))
        for data in found.values():
            if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                raise data
        return {path: data for path, data in found.items() if isinstance(data, bytes)}

    def _find(self, path: str, **options: Any) -> Mapping[str, Any]:
        """Objects by path, relative to the root."""
        try:
            found = self._calls(self._files.find, path, detail=True, **options)
        except FileNotFoundError:
            return {}
        start = len(self._files._strip_protocol(self._root).rstrip("/")) + 1
        return {
            path[start:]: facts or self._calls(self._files.info, path)
            for path, facts in found.items()
            if not path.endswith("/")
        }

    def _list(self, name: str) -> dict[str, int]:
        """The sizes of the objects of a shard by their names in it; that of a single object is empty."""
        found = self._find(self._path(name))
        return {path[len(name) + 1 :]: int(facts["size"] or 0) for path, facts in found.items()}

    def _sizes_of(self, group: str) -> dict[str, int]:
        """The bytes of the shards whose names begin with `group`."""
        sizes: dict[str, int] = {}
        for path, facts in self._find(self._root, **({"prefix": group} if self._is_s3 else {})).items():
            name = path.partition("/")[0]
            if name.startswith(group):
                sizes[name] = sizes.get(name, 0) + int(facts["size"] or 0)
        return sizes

    def _sha256_of(self, name: str) -> str:
        """The hash of a shard, as `shard_files.sha256_of` gives it of its files."""
        inner = sorted(self._list(name), key=PurePosixPath)
        if inner == [""]:
            return self._hash(name)
        hashes = self._transfers.map(lambda one: self._hash(_join(name, one)), inner)
        lines = (f"{found}  {one}\n" for one, found in zip(inner, hashes, strict=True))
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def _hash(self, name: str) -> str:
        return self._calls(self._read_hash, name)

    def _read_hash(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._files.open(self._path(name), "rb", block_size=_PART, cache_type="readahead") as file:
            while block := file.read(_PART):
                digest.update(block)
        return digest.hexdigest()

    def _free_name(self, name: str) -> str:
        number = 1
        while self._list(free := f"{name}{SET_ASIDE}{'' if number == 1 else f'-{number}'}"):
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
