"""Files of Zarr version 3: metadata of groups and arrays, and chunks in the codec `sharding_indexed`.

Formats: the Zarr core specification 3.0, and its codecs `bytes`, `zstd`, `blosc`, `crc32c` and `sharding_indexed`. They
are written here because a writer has to append chunks to a shard as they come, which the package zarr does not do: it
holds a whole shard in memory. It reads the files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

METADATA = "zarr.json"
_MISSING = 2**64 - 1
_LEVEL = 1  # docs/experiments.md, "Formats and compressions of shards"
_BITSHUFFLE = 2

Compress = Callable[[NDArray[Any]], bytes]


def compressor(name: str, itemsize: int) -> tuple[list[dict[str, Any]], Compress]:
    """The codecs of the specification for a name, and the function from a chunk to its bytes.

    name: `none`, `zstd`, `blosc` or `blosc-lz4`. blosc: bits of equal weight are stored side by side.
    """
    from numcodecs import blosc, zstd

    if name == "none":
        return [], lambda chunk: chunk.tobytes()
    if name == "zstd":
        codec = {"name": "zstd", "configuration": {"level": _LEVEL, "checksum": False}}
        return [codec], lambda chunk: bytes(zstd.compress(chunk, _LEVEL))
    inner = {"blosc": "zstd", "blosc-lz4": "lz4"}[name]
    level = {"zstd": _LEVEL, "lz4": 5}[inner]
    configuration = {
        "typesize": itemsize, "cname": inner, "clevel": level, "shuffle": "bitshuffle", "blocksize": 0,
    }  # fmt: skip
    return (
        [{"name": "blosc", "configuration": configuration}],
        lambda chunk: bytes(blosc.compress(chunk, inner.encode(), level, _BITSHUFFLE)),
    )


def group_metadata(attributes: Mapping[str, Any]) -> str:
    """zarr.json of a group."""
    return _text({"zarr_format": 3, "node_type": "group", "attributes": attributes})


def array_metadata(
    shape: Sequence[int],
    dtype: np.dtype[Any],
    grid: Sequence[int],
    chunk: Sequence[int] | None,
    codecs: list[dict[str, Any]],
    names: Sequence[str],
    attributes: Mapping[str, Any],
) -> str:
    """zarr.json of an array whose chunks of shape `grid` are files.

    chunk: shape of the chunks inside such a file, which is then a shard; None for files of one chunk. codecs: those of
    `compressor`. names: of the dimensions, as xarray reads them.
    """
    stored = [_bytes_codec(dtype), *codecs]
    if chunk is not None:
        index = [_bytes_codec(np.dtype(np.uint64)), {"name": "crc32c"}]
        configuration = {
            "chunk_shape": list(chunk), "codecs": stored, "index_codecs": index, "index_location": "end",
        }  # fmt: skip
        stored = [{"name": "sharding_indexed", "configuration": configuration}]
    return _text(
        {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(grid)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0 if dtype.kind in "iu" else 0.0,
            "codecs": stored,
            "attributes": attributes,
            "dimension_names": list(names),
        }
    )


class ShardFile:
    """A shard: chunks, each of one row of an array, and their index at the end.

    rows: chunks of a whole shard. Fewer can be appended; the others then have the fill value.
    """

    def __init__(self, path: Path, rows: int) -> None:
        path.parent.mkdir(parents=True)
        self._file = open(path, "xb")  # noqa: SIM115
        self._index = np.full((rows, 2), _MISSING, "<u8")
        self._count = 0
        self._end = 0

    def append(self, chunks: Sequence[bytes]) -> None:
        """Append the next chunks."""
        for chunk in chunks:
            self._index[self._count] = self._end, len(chunk)
            self._count += 1
            self._end += len(chunk)
        self._file.write(b"".join(chunks))

    def close(self) -> None:
        """Write the index and its checksum, and close the file."""
        import google_crc32c

        with self._file as file:
            index = self._index.tobytes()
            file.write(index + int(google_crc32c.value(index)).to_bytes(4, "little"))


def _bytes_codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    return {"name": "bytes"} if dtype.itemsize == 1 else {"name": "bytes", "configuration": {"endian": "little"}}


def _text(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
