"""Maps of every type, and shards of them, for the tests of shard formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import HEAT, ROOM, USER_DEFINED

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds, parse_seeds
from sgi.engine.shards.shard_format import ShardFormat, ShardSettings, Stored, check_settings, stored

SIDE = 8
PACKAGES = {"parquet": "pyarrow", "zarr": "zarr", "exr": "OpenEXR"}
"""Formats that need an extra, and its package."""
NAMES = ("image", "depth", "normal", "albedo", "shading", "mask-bed")
KINDS = (*map(intrinsics.get, NAMES), ROOM, HEAT, *USER_DEFINED)
SEEDS = parse_seeds("3-7,4294967295,0-4")
"""Not in order, more than one range, and the largest seed: 3 to 7, 4294967295, 0 to 2."""


def skip_without_package(name: str) -> None:
    """Skip a test of a format whose package is not installed; zarr 3 needs Python 3.11."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], minversion="3.0" if name == "zarr" else None)


def settings_for(form: ShardFormat, **changes: Any) -> ShardSettings:
    """Settings of a tiny run in the format's own dtype and compression."""
    values: dict[str, Any] = {
        "dtype": form.dtypes[0],
        "compression": form.compressions[0],
        "item": "seed",
        "resolution": SIDE,
        "facts": {"psi": 0.7, "class_index": 3, "class_weights": [[1, 0.5], [2, 0.5]], "mix_rows": "2-3"},
    }
    return ShardSettings(**{**values, **changes})


def random_maps(dtype: str, count: int, kinds: Sequence[Intrinsic] = KINDS, seed: int = 0) -> Stored:
    """Arrays of `stored` of random values over the ranges of the types, and a little beyond."""
    random = np.random.RandomState(seed)
    found = {}
    for kind in kinds:
        shape = (count, kind.channels, SIDE, SIDE)
        share = random.rand(*shape)
        if kind.decoding == "palette":
            share = np.rint(share * kind.high) / kind.high
        found[kind.name] = stored(kind, (kind.low + (kind.high - kind.low) * share).astype(np.float32), dtype)
    return found


def write_shard(
    form: ShardFormat,
    path: Path,
    settings: ShardSettings,
    maps: Stored,
    seeds: Seeds = SEEDS,
    kinds: Sequence[Intrinsic] = KINDS,
    batch: int = 4,
) -> Path:
    """A shard, written as the shard loop does: encoded out of order, written in order."""
    check_settings(form, kinds, settings)
    writer = form.open(path, kinds, seeds, settings)
    starts = range(0, len(seeds), batch)
    encoded = {
        start: writer.encode(
            list(seeds[start : start + batch]), {name: stack[start : start + batch] for name, stack in maps.items()}
        )
        for start in reversed(starts)
    }
    for start in starts:
        writer.write(encoded[start])
    writer.close()
    return path


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of the files of a shard, by their names relative to it."""
    if path.is_file():
        return {"": path.read_bytes()}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
