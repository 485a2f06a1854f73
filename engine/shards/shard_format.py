"""The interface of a shard format: a file format that puts many seeds into one file or folder.

The shard loop calls `check` before any work. It then opens a writer for each shard under a temporary name, encodes
batches on several threads, writes them in order on one thread, closes the writer, flushes the files to the disk and
renames the shard. A format contains only the layout of its files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgi.engine import codes
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import DIGITS, Seeds

CODES = "codes"
NO_COMPRESSION = "none"
DEFAULT_SHARD_SIZE = 1000
MAX_SHARD_SIZE = 100_000
"""Largest number of seeds of a shard: a line of the manifest names all of them."""
_LARGEST_FLOAT16 = float(np.finfo(np.float16).max)

Stored = dict[str, NDArray[Any]]
"""Arrays in C order as files contain them, by type: for the dtype `codes` [N, R, R, C] uint8 or uint16, the codes of
`sgi.engine.codes.pixels_of`; for float16 and float32 [N, C, R, R] values of that dtype."""


@dataclass(frozen=True)
class ShardSettings:
    """What the shards of a run have in common.

    dtype: `codes`, `float16` or `float32`. compression: a name of `ShardFormat.compressions`. item: what a number is
    of, `seed` or `latent`. digits: decimal digits of a number in names. resolution: height and width of the maps.
    facts: JSON-ready metadata of every sample besides its number, such as `psi` and `class_index`. shard_size: seeds of
    every shard but the last; 0 where a shard stands alone.
    """

    dtype: str
    compression: str
    item: str
    resolution: int
    digits: int = DIGITS
    facts: Mapping[str, Any] = field(default_factory=dict)
    shard_size: int = 0


class ShardWriter(Protocol):
    """One shard while it is written. The path of `ShardFormat.open` contains it."""

    def encode(self, numbers: Sequence[int], maps: Stored) -> Any:
        """What `write` takes for a batch; numbers: N seeds or latents, maps: their arrays.

        Several threads call it at once, for different batches of the shard. Everything slow belongs here.
        """
        ...

    def write(self, encoded: Any) -> None:
        """Append a batch; called in the order of the seeds, by one thread at a time."""
        ...

    def close(self) -> None:
        """Complete the files. The loop flushes them to the disk.

        Also called once after an error of `encode` or `write`, and when a run stops; the files are then removed, and
        an exception is ignored.
        """
        ...


class ShardFormat(Protocol):
    """A shard format.

    name: value of `file_format`. suffix: of the names of shards, such as `.tar`; a folder may have an empty one. extra:
    the optional dependency of this package that it needs, or "". dtypes, compressions: what it can store; the first
    ones are the defaults. A format without compression has the only one `none`.
    """

    name: str
    suffix: str
    extra: str
    dtypes: tuple[str, ...]
    compressions: tuple[str, ...]

    def check(self, settings: ShardSettings) -> None:
        """Raise UserError, naming the extra, where a package is missing, and for settings that do not go together.

        The dtype and the compression are among `dtypes` and `compressions` already.
        """
        ...

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> ShardWriter:
        """Start a shard of these seeds or latents at a path that does not exist: a file, or a folder.

        The bytes depend on the arguments and the maps only: no times, no names of users, no order of threads.
        """
        ...

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """The arrays of one seed or latent of a closed shard, without the axis N.

        Raises KeyError for a number that the shard does not have, and any exception for a damaged shard.
        """
        ...

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """How the numbers of a type in files become values, for people who read them."""
        ...


def array_encoding(kind: Intrinsic, dtype: str) -> str:
    """`ShardFormat.encoding` of a format that contains the arrays of `Stored`."""
    return codes.formula(kind) if dtype == CODES else f"{dtype} [channels, row, column] in C order: the values"


def stored(kind: Intrinsic, values: NDArray[np.floating], dtype: str) -> NDArray[Any]:
    """The array that files contain, as `Stored`, of values [N, C, R, R] float32 of a type."""
    if dtype == CODES:
        return np.ascontiguousarray(codes.pixels_of(kind, values))
    return np.ascontiguousarray(values, dtype)


def values_of(kind: Intrinsic, array: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    """The values [..., C, R, R] float32 of an array of `stored`, within the rounding of its dtype."""
    return codes.values_of(kind, array) if dtype == CODES else np.asarray(array, np.float32)


def dtype_of(kind: Intrinsic, dtype: str) -> np.dtype[Any]:
    """The dtype of the array that files contain of a type."""
    return np.dtype(codes.dtype_of(kind) if dtype == CODES else dtype)


def shape_of(kind: Intrinsic, settings: ShardSettings) -> tuple[int, int, int]:
    """The shape of the array that files contain of one seed: [R, R, C] codes, or [C, R, R] values."""
    side = settings.resolution
    if settings.dtype == CODES:
        return side, side, kind.channels
    return kind.channels, side, side


def check_settings(form: ShardFormat, kinds: Sequence[Intrinsic], settings: ShardSettings) -> None:
    """Raise UserError for a dtype or compression that a format does not have, and as `ShardFormat.check` does."""
    for name, value, known in (
        ("dtype", settings.dtype, form.dtypes),
        ("compression", settings.compression, form.compressions),
    ):
        if value not in known:
            raise UserError(f"`{name}={value}`: format {form.name} has {', '.join(known)}")
    if settings.dtype == "float16":
        for kind in kinds:
            if max(abs(kind.low), abs(kind.high)) > _LARGEST_FLOAT16:
                raise UserError(f"`dtype=float16`: values of {kind.name} are up to {kind.high:g}; choose float32")
    form.check(settings)
