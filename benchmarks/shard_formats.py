"""Maps a second of CPU time and bytes a seed of every shard format, dtype and compression.

    python benchmarks/shard_formats.py [ROUNDS]

The maps are those of the bundled model, 64 px, and mosaics of 16 of them, 256 px, which have the detail of pictures.
Shards are written to $TMPDIR; TMPDIR=/dev/shm measures without the disk.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sgi.engine import Engine
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import ShardFormat, ShardSettings, Stored, check_settings, stored

SEEDS = 256
TILES = 4
BATCH = 8


def main(rounds: int) -> None:
    """Print a table for each resolution; the best of the rounds counts."""
    with Engine.open() as engine:
        maps = engine(seeds=range(SEEDS))
        kinds = [engine.artifact.output(name) for name in maps]
    mosaics = {name: mosaic(stack) for name, stack in maps.items()}
    for values in (maps, mosaics):
        count, _, side, _ = values["image"].shape
        print(f"\n{side} px\n\n| format | dtype | compression | maps/s | kB a seed |\n|---|---|---|---|---|")
        for form in SHARD_FORMATS.values():
            for dtype in form.dtypes:
                arrays = {kind.name: stored(kind, values[kind.name], dtype) for kind in kinds}
                for compression in form.compressions:
                    settings = ShardSettings(dtype, compression, "seed", side, facts={"psi": 1.0})
                    check_settings(form, kinds, settings)
                    took, size = zip(*(write(form, kinds, arrays, settings, count) for _ in range(rounds)), strict=True)
                    rate = count * len(kinds) / min(took)
                    print(f"| {form.name} | {dtype} | {compression} | {rate:.0f} | {size[0] / count / 1000:.1f} |")


def mosaic(stack: np.ndarray) -> np.ndarray:
    """Maps [N / 16, C, 4 R, 4 R] of maps [N, C, R, R]."""
    _, channels, side, _ = stack.shape
    tiles = stack.reshape(-1, TILES, TILES, channels, side, side)
    return np.ascontiguousarray(tiles.transpose(0, 3, 1, 4, 2, 5).reshape(-1, channels, TILES * side, TILES * side))


def write(
    form: ShardFormat, kinds: Sequence[Intrinsic], arrays: Stored, settings: ShardSettings, count: int
) -> tuple[float, int]:
    """Seconds of CPU time and bytes of one shard."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"shard-000000{form.suffix}"
        seeds = Seeds([range(count)])
        start = time.process_time()
        writer = form.open(path, kinds, seeds, settings)
        for first in range(0, count, BATCH):
            part = {name: stack[first : first + BATCH] for name, stack in arrays.items()}
            writer.write(writer.encode(seeds[first : first + BATCH], part))
        writer.close()
        took = time.process_time() - start
        return took, sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
