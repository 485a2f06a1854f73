"""The shard format `webdataset`: tar files of samples, `000042.image.png 000042.depth.png 000042.json`.

The library webdataset, and the builder `webdataset` of Hugging Face `datasets`, group members by the name before its
first dot. Format of the archive: POSIX.1-2001, ustar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

import msgspec
import numpy as np

from sgi.engine.budget import read_npy
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds
from sgi.engine.shards.shard_format import CODES, NO_COMPRESSION, ShardSettings, Stored, array_encoding
from sgi.engine.writers.npy_format import npy_bytes
from sgi.engine.writers.png_format import Png

_PNG = Png()
_BLOCK = tarfile.BLOCKSIZE
_INDICES = 4  # shards whose headers are kept, 1 MB for a thousand seeds


class WebDataset:
    """Codes as PNG files, or values as .npy files, and a JSON file of each sample."""

    name = "webdataset"
    suffix = ".tar"
    extra = ""
    dtypes: tuple[str, ...] = (CODES, "float16", "float32")
    compressions: tuple[str, ...] = (NO_COMPRESSION,)

    def check(self, settings: ShardSettings) -> None:
        """See `ShardFormat.check`."""

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> _Writer:
        """See `ShardFormat.open`."""
        return _Writer(path, kinds, settings)

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """See `ShardFormat.read`."""
        names = {kind.name: f"{_key(number, settings)}.{kind.name}{_suffix(settings)}" for kind in kinds}
        found = path.stat()
        index = _index_of(path, found.st_ino, found.st_mtime_ns, found.st_size)
        places = index.find(set(names.values()))
        stored: Stored = {}
        with open(path, "rb") as file:
            for kind in kinds:
                start, size = places[names[kind.name]]
                file.seek(start)
                stored[kind.name] = _read_member(kind, file.read(size), settings)
        return stored

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        return array_encoding(kind, dtype)


class _Index:
    """Where the members of a shard are; its headers are read once, as far as they are needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._end = 0  # of the headers that were read
        self._lock = Lock()

    def find(self, names: set[str]) -> dict[str, tuple[int, int]]:
        """Start and size of the members of these names; raises KeyError, and tarfile.TarError for a damaged shard."""
        with self._lock:
            left = names - self._places.keys()
            if left:
                self._read(left)
            return {name: self._places[name] for name in names}

    def _read(self, left: set[str]) -> None:
        """Read headers until no name is left, or to the end."""
        with open(self._path, "rb") as file:
            file.seek(self._end)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.isreg():
                        self._places[member.name] = member.offset_data, member.size
                    self._end = archive.offset
                    left.discard(member.name)
                    if not left:
                        return


@lru_cache(_INDICES)
def _index_of(path: Path, *_: int) -> _Index:
    """The index of a file, as long as its inode, time and size are the same."""
    return _Index(path)


class _Writer:
    def __init__(self, path: Path, kinds: Sequence[Intrinsic], settings: ShardSettings) -> None:
        self._kinds = {kind.name: kind for kind in kinds}
        self._settings = settings
        self._common = {**settings.facts, "types": [kind.to_dict() for kind in kinds]}
        self._file = open(path, "xb")  # noqa: SIM115

    def encode(self, numbers: Sequence[int], maps: Stored) -> bytes:
        """See `ShardWriter.encode`: the members of the batch, headers included."""
        parts: list[bytes] = []
        members = {name: _members(self._kinds[name], stack, self._settings) for name, stack in maps.items()}
        for row, number in enumerate(numbers):
            key = _key(number, self._settings)
            for name, data in members.items():
                _add(parts, f"{key}.{name}{_suffix(self._settings)}", data[row])
            _add(parts, f"{key}.json", msgspec.json.encode({self._settings.item: number, **self._common}))
        return b"".join(parts)

    def write(self, encoded: bytes) -> None:
        """See `ShardWriter.write`."""
        self._file.write(encoded)

    def close(self) -> None:
        """See `ShardWriter.close`."""
        with self._file as file:
            end = file.tell() + 2 * _BLOCK
            file.write(bytes(2 * _BLOCK + -end % tarfile.RECORDSIZE))


def _key(number: int, settings: ShardSettings) -> str:
    return f"{number:0{settings.digits}d}"


def _suffix(settings: ShardSettings) -> str:
    return ".png" if settings.dtype == CODES else ".npy"


def _members(kind: Intrinsic, stack: np.ndarray, settings: ShardSettings) -> list[bytes]:
    if settings.dtype == CODES:
        return _PNG.encode_batch(kind, stack)
    return [npy_bytes(array) for array in stack]


def _read_member(kind: Intrinsic, data: bytes, settings: ShardSettings) -> np.ndarray:
    if settings.dtype == CODES:
        return _PNG.decode_codes(kind, data)
    return read_npy(data)


def _add(parts: list[bytes], name: str, data: bytes) -> None:
    """Append a member: its header and its bytes, padded to blocks."""
    parts += [_header(name.encode(), len(data)), data, _PADDING[: -len(data) % _BLOCK]]


def _header(name: bytes, size: int) -> bytes:
    """The header of a file without times and owners: that of `tarfile.TarInfo.tobuf`, in an eighth of its time.

    name: at most 100 ASCII characters; names of types have 64. size: less than 8 GiB.
    """
    octal = b"%011o" % size
    checksum = _TEMPLATE_SUM + sum(name) + sum(octal)
    return b"".join(
        (name, _TEMPLATE[len(name) : 124], octal, _TEMPLATE[135:148], b"%06o\0 " % checksum, _TEMPLATE[156:])
    )


def _template() -> bytes:
    """A header without a name, and with zeros in place of the digits of the size and of the checksum."""
    member = tarfile.TarInfo()
    member.mode = 0o644
    header = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    header[124:135] = bytes(11)
    header[148:156] = bytes(8)
    return bytes(header)


_PADDING = bytes(_BLOCK)
_TEMPLATE = _template()
_TEMPLATE_SUM = sum(_TEMPLATE) + 8 * ord(" ")
"""The checksum is the sum of the bytes of the header, with spaces in place of the checksum."""
