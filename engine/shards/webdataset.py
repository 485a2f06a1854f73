"""The shard format `webdataset`: tar files of samples, `000042.image.png 000042.depth.png 000042.json`.

The library webdataset, and the builder `webdataset` of Hugging Face `datasets`, group members by the name before its
first dot. Format of the archive: POSIX.1-2001, ustar.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path

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
        wanted = {f"{_key(number, settings)}.{kind.name}{_suffix(settings)}": kind for kind in kinds}
        found: Stored = {}
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                kind = wanted.get(member.name)
                if kind is not None and (file := archive.extractfile(member)):
                    found[kind.name] = _read_member(kind, file.read(), settings)
                if len(found) == len(wanted):
                    return found
        raise KeyError(number)

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        return array_encoding(kind, dtype)


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
