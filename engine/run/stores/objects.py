"""Objects below a URL, through fsspec, by their names below it: put, read, copied, listed, hashed and removed.

Every call is repeated where `RemoteCalls` says so. Nothing here knows of shards or manifests.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from sgi.engine.files import atomic_write
from sgi.engine.run.stores.remote_calls import RemoteCalls

_TRANSFERS = 8
"""Files that are copied at once."""
_PART = 1 << 24
_MOST_PARTS = 10_000
_AT_ONCE = 1000
_S3 = {"s3", "s3a"}
_BUCKETS = {*_S3, "abfs", "az", "gcs", "gs", "oss", "r2"}
"""Protocols of stores without folders, where `makedirs` would make a bucket."""


class Objects:
    """The objects below a URL.

    files: the file system of fsspec. root: the path of the URL in it. calls: what calls `files`. The methods raise
    UserError as `RemoteCalls` does, and may be called on several threads.
    """

    def __init__(self, files: Any, root: str, calls: RemoteCalls) -> None:
        self._files = files
        self._root = root
        self._calls = calls
        self.transfers = ThreadPoolExecutor(_TRANSFERS, "sgi-transfer")
        protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
        self._is_s3 = bool(protocols & _S3)
        self._has_buckets = bool(protocols & _BUCKETS)

    def close(self) -> None:
        """End the threads."""
        self.transfers.shutdown(cancel_futures=True)

    def make_folder(self, name: str) -> None:
        """Make a folder, where the store has folders."""
        if not self._has_buckets:
            self._calls(self._files.makedirs, self._path(name), exist_ok=True)

    def all(self, function: Callable[..., None], arguments: Iterable[tuple[Any, ...]]) -> None:
        """Call a function with each of these arguments, several at once; raises the first error."""
        for future in [self.transfers.submit(function, *row) for row in arguments]:
            future.result()

    def put(self, name: str, data: bytes) -> None:
        """Put a small object."""
        self._calls(self._pipe, name, data)

    def create(self, name: str, data: bytes) -> None:
        """Put an object that must not exist; raises FileExistsError if it does."""
        self._calls(self._create, name, data)

    def _pipe(self, name: str, data: bytes) -> None:
        self._files.pipe_file(self._path(name), data)

    def _create(self, name: str, data: bytes) -> None:
        path = self._path(name)
        try:
            self._files.pipe_file(path, data, mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or self._files.exists(path):
                raise FileExistsError from error
            if error.errno != errno.ENOSYS:
                raise
            self._pipe(name, data)  # a store without conditional writes

    def get(self, name: str) -> bytes | None:
        """The bytes of a small object; None if there is none."""
        try:
            found: bytes = self._calls(self._files.cat_file, self._path(name))
        except FileNotFoundError:
            return None
        return found

    def upload(self, path: Path, name: str) -> None:
        """Copy a file to an object."""
        options: dict[str, int] = {}
        if self._is_s3:
            # By default s3fs keeps up to 500 MB of a file in memory.
            options = {"chunksize": max(_PART, -(-path.stat().st_size // _MOST_PARTS)), "max_concurrency": 4}
        try:
            self._calls(self._files.put_file, str(path), self._path(name), **options)
        except FileNotFoundError as error:
            raise self._calls.refusal(error) from error

    def fetch(self, name: str, target: Path) -> None:
        """Copy an object to a file; raises FileNotFoundError."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as temporary:
            self._calls(self._files.get_file, self._path(name), str(temporary))

    def copy(self, name: str, other: str) -> None:
        """Copy an object in the store."""
        self._calls(self._files.cp_file, self._path(name), self._path(other))

    def remove(self, names: list[str]) -> None:
        """Remove those of these objects that exist."""
        for start in range(0, len(names), _AT_ONCE):
            paths = [self._path(name) for name in names[start : start + _AT_ONCE]]
            try:
                self._calls(self._files.rm, paths)
            except FileNotFoundError:  # another run removed some in between
                self.all(self._remove_one, [(path,) for path in paths])

    def _remove_one(self, path: str) -> None:
        try:
            self._calls(self._files.rm_file, path)
        except FileNotFoundError:
            return

    def read_all(self, names: list[str]) -> dict[str, bytes]:
        """The bytes of small objects by name, without those that do not exist."""
        found: dict[str, bytes] = {}
        for start in range(0, len(names), _AT_ONCE):
            paths = [self._path(name) for name in names[start : start + _AT_ONCE]]
            some = self._calls(self._cat, paths)
            found |= {
                name: some[path] for name in names[start : start + _AT_ONCE] if (path := self._path(name)) in some
            }
        return found

    def names(self, folder: str = "") -> list[str]:
        """The names of objects and folders in a folder, without the objects of these; none if it does not exist."""
        try:
            found = self._calls(self._files.ls, self._path(folder) if folder else self._root, detail=False)
        except FileNotFoundError:
            return []
        return [PurePosixPath(path).name for path in found]

    def _cat(self, paths: list[str]) -> dict[str, bytes]:
        """The bytes of small objects by path, without those that do not exist any more."""
        open_ends = [None] * len(paths)
        found = dict(zip(paths, self._files.cat_ranges(paths, open_ends, open_ends, on_error="return"), strict=True))
        for data in found.values():
            if isinstance(data, Exception) and not isinstance(data, FileNotFoundError):
                raise data
        return {path: data for path, data in found.items() if isinstance(data, bytes)}

    def sizes_of(self, prefix: str) -> dict[str, int]:
        """The sizes of objects and folders whose names begin with `prefix`; of a folder that of its objects."""
        sizes: dict[str, int] = {}
        for path, facts in self._find(self._root, **({"prefix": prefix} if self._is_s3 else {})).items():
            name = path.partition("/")[0]
            if name.startswith(prefix):
                sizes[name] = sizes.get(name, 0) + int(facts["size"] or 0)
        return sizes

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

    def sizes(self, name: str) -> dict[str, int]:
        """The sizes of the objects in a folder by their names in it; that of a single object is empty."""
        found = self._find(self._path(name))
        return {path[len(name) + 1 :]: int(facts["size"] or 0) for path, facts in found.items()}

    def sha256(self, name: str) -> str:
        """The SHA-256 of an object, which is read."""
        found: str = self._calls(self._read_hash, name)
        return found

    def _read_hash(self, name: str) -> str:
        digest = hashlib.sha256()
        with self._files.open(self._path(name), "rb", block_size=_PART, cache_type="readahead") as file:
            while block := file.read(_PART):
                digest.update(block)
        return digest.hexdigest()

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"
