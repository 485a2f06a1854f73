"""zarr shards, read by the package zarr: each alone, and all of a run as one store."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from shard_cases import KINDS, SEEDS, SIDE, random_maps, settings_for, write_shard

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import parse_seeds
from sgi.engine.shards.zarr_format import Zarr

zarr = pytest.importorskip("zarr", minversion="3.0")
FORM = Zarr()


@pytest.mark.parametrize("compression", FORM.compressions)
@pytest.mark.parametrize("dtype", FORM.dtypes)
def test_zarr_opens_a_shard(tmp_path, dtype, compression):
    maps = random_maps(dtype, len(SEEDS), KINDS[:7])
    settings = settings_for(FORM, dtype=dtype, compression=compression, shard_size=20)
    group: Any = zarr.open_group(write_shard(FORM, tmp_path / "s.zarr", settings, maps, kinds=KINDS[:7]), mode="r")
    np.testing.assert_array_equal(group["seed"][:], list(SEEDS))
    assert set(group.array_keys()) == {"seed", *maps}
    for name, wanted in maps.items():
        array = group[name]
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
        assert (array.chunks, array.shards) == ((1, *wanted.shape[1:]), (20, *wanted.shape[1:]))
        np.testing.assert_array_equal(array[:], wanted)
        np.testing.assert_array_equal(array[5], wanted[5])


def test_arrays_describe_themselves(tmp_path):
    maps = random_maps("float16", len(SEEDS))
    group: Any = zarr.open_group(write_shard(FORM, tmp_path / "s.zarr", settings_for(FORM), maps), mode="r")
    about = group.attrs["sgi_engine"]
    assert (about["format"], about["item"], about["dtype"], about["psi"]) == (1, "seed", "float16", 0.7)
    for kind in KINDS:
        described = dict(group[kind.name].attrs)
        assert described in about["types"]
        assert described.pop("encoding") == "float16 [channels, row, column] in C order: the values"
        assert Intrinsic.from_dict(described) == kind
        assert group[kind.name].metadata.dimension_names == ("seed", f"{kind.name}_channel", "y", "x")
    codes = write_shard(FORM, tmp_path / "c.zarr", settings_for(FORM, dtype="codes"), random_maps("codes", len(SEEDS)))
    assert zarr.open_group(codes)["depth"].metadata.dimension_names == ("seed", "y", "x", "depth_channel")


@pytest.fixture
def run_folder(tmp_path):
    """A finished run of 9 seeds in shards of 4, and its maps."""
    settings, maps = settings_for(FORM, shard_size=4), random_maps("float16", len(SEEDS), KINDS[:2])
    lines = []
    for number in range(3):
        part = slice(4 * number, 4 * number + 4)
        stacks = {name: stack[part] for name, stack in maps.items()}
        name = f"shard-{number:06d}.zarr"
        write_shard(FORM, tmp_path / name, settings, stacks, SEEDS[part], KINDS[:2])
        lines.append(json.dumps({"shard": number, "file": name}))
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "run.json").write_text(json.dumps({"file_format": "zarr", "shard_size": 4, "seeds": str(SEEDS)}))
    return tmp_path, maps


def test_a_run_is_one_store(run_folder):
    from sgi.engine.shards.zarr_run import open_run

    folder, maps = run_folder
    group: Any = open_run(folder)
    assert set(group.array_keys()) == {"seed", *maps}
    np.testing.assert_array_equal(group["seed"][:], list(SEEDS))
    for name, wanted in maps.items():
        assert group[name].shape == wanted.shape
        np.testing.assert_array_equal(group[name][:], wanted)
        np.testing.assert_array_equal(group[name][2:9:3], wanted[2:9:3])
        np.testing.assert_array_equal(group[name][8], wanted[8])
    with pytest.raises(ValueError, match="read-only"):
        group["depth"][0] = 1
    pytest.importorskip("fsspec")
    group = open_run(f"file://{folder}")
    np.testing.assert_array_equal(group["depth"][:], maps["depth"])


def test_copying_the_store_of_a_run_makes_one_folder(run_folder, tmp_path):
    """Every key of the store is listed and read."""
    import asyncio

    from zarr.core.buffer import default_buffer_prototype

    from sgi.engine.shards.zarr_run import open_run

    folder, maps = run_folder
    store: Any = open_run(folder).store

    async def copy() -> None:
        async for key in store.list():
            data = await store.get(key, default_buffer_prototype())
            (tmp_path / "copy" / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "copy" / key).write_bytes(data.to_bytes())

    asyncio.run(copy())
    group: Any = zarr.open_group(tmp_path / "copy", mode="r")
    for name, wanted in maps.items():
        np.testing.assert_array_equal(group[name][:], wanted)


def test_an_unfinished_run_and_other_folders_are_refused(run_folder, tmp_path):
    from sgi.engine.shards.zarr_run import open_run

    folder, _ = run_folder
    lines = (folder / "manifest.jsonl").read_text().splitlines(keepends=True)
    (folder / "manifest.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(UserError, match="2 of 3 shards are finished; run the same command again"):
        open_run(folder)
    (tmp_path / "other").mkdir()
    for record in (None, "[]", '{"file_format": "png"}'):
        if record:
            (tmp_path / "other" / "run.json").write_text(record)
        with pytest.raises(UserError, match="it is not the folder of a run with `file_format=zarr`"):
            open_run(tmp_path / "other")
    with pytest.raises(UserError, match="nowhere`: no such folder"):
        open_run(tmp_path / "nowhere")


def test_a_shard_of_one_seed(tmp_path):
    settings, seeds = settings_for(FORM), parse_seeds("4294967295")
    maps = random_maps("float16", 1)
    group: Any = zarr.open_group(write_shard(FORM, tmp_path / "s.zarr", settings, maps, seeds), mode="r")
    assert group["image"].shape == (1, 3, SIDE, SIDE)
    assert group["seed"][0] == 4294967295
