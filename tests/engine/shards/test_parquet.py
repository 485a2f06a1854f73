"""parquet shards, read by `datasets` and by pyarrow."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shard_cases import KINDS, SEEDS, SIDE, random_maps, settings_for, write_shard

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.shards import parquet_format
from sgi.engine.shards.parquet_format import Parquet

pytest.importorskip("pyarrow")
FORM = Parquet()


def load(path, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))


def test_datasets_decodes_codes_to_pictures(tmp_path):
    maps = random_maps("codes", len(SEEDS))
    rows = load(write_shard(FORM, tmp_path / "shard-000000.parquet", settings_for(FORM), maps), tmp_path)
    assert rows["seed"][:] == list(SEEDS)
    assert rows.column_names == ["seed", "psi", "class_index", "mix_rows", *(kind.name for kind in KINDS)]
    assert {type(rows.features[kind.name]).__name__ for kind in KINDS} == {"Image"}
    for i, row in enumerate(rows):
        assert (row["psi"], row["class_index"], row["mix_rows"]) == (0.7, 3, "2-3")
        for kind in KINDS:
            pixels = np.asarray(row[kind.name]).reshape(SIDE, SIDE, kind.channels)
            np.testing.assert_array_equal(pixels, maps[kind.name][i], err_msg=kind.name)
    assert rows[0]["depth"].mode == "I;16"
    assert rows[0]["segmentation"].mode == "P"


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_datasets_reads_values_as_arrays(tmp_path, dtype):
    maps = random_maps(dtype, len(SEEDS), KINDS[:3])
    settings = settings_for(FORM, dtype=dtype)
    path = write_shard(FORM, tmp_path / "shard-000000.parquet", settings, maps, kinds=KINDS[:3])
    rows = load(path, tmp_path).with_format("numpy")
    for kind in KINDS[:3]:
        feature = rows.features[kind.name]
        assert (type(feature).__name__, tuple(feature.shape), feature.dtype) == (
            "Array3D",
            (kind.channels, 8, 8),
            dtype,
        )
        np.testing.assert_array_equal(np.stack([row[kind.name] for row in rows]).astype(dtype), maps[kind.name])


def test_the_schema_describes_the_types(tmp_path):
    import pyarrow.parquet as parquet

    path = write_shard(
        FORM, tmp_path / "s.parquet", settings_for(FORM, item="latent"), random_maps("codes", len(SEEDS))
    )
    schema = parquet.read_schema(path)
    assert schema.names[0] == "latent"
    about = json.loads(schema.metadata[b"sgi_engine"])
    assert (about["format"], about["item"], about["dtype"], about["psi"]) == (1, "latent", "codes", 0.7)
    assert about["class_weights"] == [[1, 0.5], [2, 0.5]]
    encodings = [kind.pop("encoding") for kind in about["types"]]
    assert [Intrinsic.from_dict(kind) for kind in about["types"]] == list(KINDS)
    assert encodings[1] == "16-bit grey: value = low + code / 65535 * (high - low)"


def test_row_groups_have_a_size_of_their_own(tmp_path, monkeypatch):
    import pyarrow.parquet as parquet

    monkeypatch.setattr(parquet_format, "_GROUP_ROWS", 4)
    settings, maps = settings_for(FORM), random_maps("codes", len(SEEDS))
    path = write_shard(FORM, tmp_path / "s.parquet", settings, maps, batch=3)
    about = parquet.read_metadata(path)
    assert [about.row_group(i).num_rows for i in range(about.num_row_groups)] == [4, 4, 1]
    for row in (0, 5, 8):
        found = FORM.read(path, SEEDS[row], KINDS, settings)
        np.testing.assert_array_equal(found["depth"], maps["depth"][row])
    monkeypatch.setattr(parquet_format, "_GROUP_BYTES", 1)
    path = write_shard(FORM, tmp_path / "large.parquet", settings, maps)
    assert parquet.read_metadata(path).num_row_groups == len(SEEDS)
