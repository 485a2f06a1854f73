"""The shard format `zarr`: a folder that is a store of Zarr version 3, with one array a type, and the seeds.

Each chunk is one seed. All chunks of an array are in one file, by the codec `sharding_indexed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds
from sgi.engine.shards.semantics import KEY, check_columns, require, semantics
from sgi.engine.shards.shard_format import (
    CODES,
    NO_COMPRESSION,
    ShardSettings,
    Stored,
    array_encoding,
    dtype_of,
    shape_of,
)
from sgi.engine.shards.zarr_files import METADATA, ShardFile, array_metadata, compressor, group_metadata

_LEAST_VERSION = 3


class Zarr:
    """Arrays [N, R, R, C] of codes, or [N, C, R, R] of values, and `seed` [N] int64."""

    name = "zarr"
    suffix = ".zarr"
    extra = "zarr"
    dtypes: tuple[str, ...] = ("float16", "float32", CODES)
    compressions: tuple[str, ...] = ("blosc", "blosc-lz4", "zstd", NO_COMPRESSION)

    def check(self, settings: ShardSettings) -> None:
        """See `ShardFormat.check`."""
        version = require("zarr", self).__version__
        if int(version.split(".")[0]) < _LEAST_VERSION:
            raise UserError(
                f"the format zarr needs version 3 of the package zarr, which needs Python 3.11, not {version}: "
                f'pip install "sgi-engine[{self.extra}]"'
            )

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> _Writer:
        """See `ShardFormat.open`; raises UserError for a type with the name of the array of seeds."""
        check_columns(kinds, (settings.item,), self)
        path.mkdir()
        return _Writer(path, kinds, numbers, settings)

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """See `ShardFormat.read`."""
        import zarr

        group: Any = zarr.open_group(path, mode="r")
        found = np.flatnonzero(np.asarray(group[settings.item][:]) == number)
        if not len(found):
            raise KeyError(number)
        return {kind.name: np.asarray(group[kind.name][int(found[0])]) for kind in kinds}

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        return array_encoding(kind, dtype)


class _Writer:
    def __init__(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> None:
        rows = settings.shard_size or len(numbers)
        described = semantics(Zarr(), kinds, settings)
        (path / METADATA).write_text(group_metadata({KEY: described}))
        _write_numbers(path / settings.item, numbers, rows, settings.item)
        self._compress = {}
        self._files = {}
        for kind, attributes in zip(kinds, described["types"], strict=True):
            dtype, shape = dtype_of(kind, settings.dtype), shape_of(kind, settings)
            codecs, self._compress[kind.name] = compressor(settings.compression, dtype.itemsize)
            folder = path / kind.name
            self._files[kind.name] = ShardFile(folder / "c" / "0" / "0" / "0" / "0", rows)
            channel = f"{kind.name}_channel"  # types differ in their number of channels
            names = (settings.item, *(("y", "x", channel) if settings.dtype == CODES else (channel, "y", "x")))
            layout = array_metadata(
                (len(numbers), *shape), dtype, (rows, *shape), (1, *shape), codecs, names, attributes
            )  # fmt: skip
            (folder / METADATA).write_text(layout)

    def encode(self, numbers: Sequence[int], maps: Stored) -> dict[str, list[bytes]]:
        """See `ShardWriter.encode`: the bytes of each seed, by type."""
        return {name: [self._compress[name](_little(part)) for part in stack] for name, stack in maps.items()}

    def write(self, encoded: dict[str, list[bytes]]) -> None:
        """See `ShardWriter.write`."""
        for name, chunks in encoded.items():
            self._files[name].append(chunks)

    def close(self) -> None:
        """See `ShardWriter.close`."""
        for file in self._files.values():
            file.close()


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _write_numbers(folder: Path, numbers: Seeds, rows: int, item: str) -> None:
    """The array of the seeds or latents, one chunk without compression."""
    chunk = np.zeros(rows, "<i8")
    chunk[: len(numbers)] = np.fromiter(numbers, np.int64, len(numbers))
    (folder / "c").mkdir(parents=True)
    (folder / "c" / "0").write_bytes(chunk.tobytes())
    text = array_metadata((len(numbers),), chunk.dtype, (rows,), None, [], (item,), {})
    (folder / METADATA).write_text(text)
