"""npy-stack shards, read by NumPy alone."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import ALL_KINDS, SIDE

from sgi.engine import intrinsics
from sgi.engine.seeds import parse_seeds
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import ShardSettings, stored

FORM = SHARD_FORMATS["npy-stack"]
KINDS = [intrinsics.get(kind) for kind in ALL_KINDS]
SEEDS = parse_seeds("5,0-1")


@pytest.mark.parametrize("dtype", FORM.dtypes)
@pytest.mark.parametrize("item", ["seed", "latent"])
def test_numpy_maps_the_arrays_into_memory(tmp_path, dtype, item):
    random = np.random.default_rng(1)
    maps = {
        kind.name: stored(kind, random.uniform(kind.low, kind.high, (3, kind.channels, SIDE, SIDE)), dtype)
        for kind in KINDS
    }
    settings = ShardSettings(dtype, "none", item, SIDE)
    path = tmp_path / "shard-000000"
    writer = FORM.open(path, KINDS, SEEDS, settings)
    writer.write(writer.encode(SEEDS[:2], {name: stack[:2] for name, stack in maps.items()}))
    writer.write(writer.encode(SEEDS[2:], {name: stack[2:] for name, stack in maps.items()}))
    writer.close()
    np.testing.assert_array_equal(np.load(path / f"{item}s.npy"), [5, 0, 1])
    assert {file.name for file in path.iterdir()} == {f"{item}s.npy", *(f"{kind.name}.npy" for kind in KINDS)}
    for kind in KINDS:
        found = np.load(path / f"{kind.name}.npy", mmap_mode="r")
        assert found.dtype == maps[kind.name].dtype
        np.testing.assert_array_equal(found, maps[kind.name])
    back = FORM.read(path, 0, KINDS, settings)
    for kind in KINDS:
        np.testing.assert_array_equal(back[kind.name], maps[kind.name][1])
    with pytest.raises(KeyError):
        FORM.read(path, 2, KINDS, settings)
