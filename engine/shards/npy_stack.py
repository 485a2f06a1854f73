"""The shard format `npy-stack`: a folder with one .npy file a type, which NumPy maps into memory, and seeds.npy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds
from sgi.engine.shards.shard_format import NO_COMPRESSION, ShardSettings, Stored, array_encoding, dtype_of, shape_of


class NpyStack:
    """Arrays [N, ...] by type, `depth.npy`, in the order of `seeds.npy` [N] int64 (`latents.npy` for latents)."""

    name = "npy-stack"
    suffix = ""
    extra = ""
    dtypes: tuple[str, ...] = ("float32", "float16", "codes")
    compressions: tuple[str, ...] = (NO_COMPRESSION,)

    def check(self, settings: ShardSettings) -> None:
        """See `ShardFormat.check`."""

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> _Writer:
        """See `ShardFormat.open`."""
        path.mkdir()
        np.save(path / f"{settings.item}s.npy", np.fromiter(numbers, np.int64, len(numbers)), allow_pickle=False)
        return _Writer(path, kinds, len(numbers), settings)

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """See `ShardFormat.read`."""
        found = np.flatnonzero(np.load(path / f"{settings.item}s.npy", allow_pickle=False) == number)
        if not len(found):
            raise KeyError(number)
        return {
            kind.name: np.load(path / f"{kind.name}.npy", mmap_mode="r", allow_pickle=False)[found[0]] for kind in kinds
        }

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        return array_encoding(kind, dtype)


class _Writer:
    """Files that grow by batches: a map of the memory of a new file would end the process where the disk is full."""

    def __init__(self, path: Path, kinds: Sequence[Intrinsic], count: int, settings: ShardSettings) -> None:
        self._files: dict[str, BinaryIO] = {}
        for kind in kinds:
            self._files[kind.name] = file = open(path / f"{kind.name}.npy", "wb")  # noqa: SIM115
            header = {
                "descr": np.lib.format.dtype_to_descr(dtype_of(kind, settings.dtype).newbyteorder("<")),
                "fortran_order": False,
                "shape": (count, *shape_of(kind, settings)),
            }
            np.lib.format.write_array_header_1_0(file, header)

    def encode(self, numbers: Sequence[int], maps: Stored) -> Stored:
        """See `ShardWriter.encode`."""
        return {name: stack.astype(stack.dtype.newbyteorder("<"), copy=False) for name, stack in maps.items()}

    def write(self, encoded: Stored) -> None:
        """See `ShardWriter.write`."""
        for name, stack in encoded.items():
            self._files[name].write(stack.data)

    def close(self) -> None:
        """See `ShardWriter.close`."""
        for file in self._files.values():
            file.close()
