"""A run folder as a data set: the rows of metadata.jsonl, and Hugging Face datasets where they are installed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tiny_models import ALL_KINDS

from sgi.engine.run import run_seeds
from sgi.engine.writers import get_format

SEEDS = (0, 7, 1042)
TYPES = [getattr(kind, "name", kind) for kind in ALL_KINDS]
CODES_PER_VALUE = {"depth": 65535, "image": 255}


@pytest.fixture
def folder(all_types_model, tmp_path):
    """Two seeds beside metadata.jsonl and one in a subfolder."""
    run_seeds(SEEDS, model=all_types_model, outdir=tmp_path / "maps")
    return tmp_path / "maps"


def test_rows_have_one_file_for_each_type(folder):
    """The form of `imagefolder`: keys that end in `_file_name`, with existing files relative to metadata.jsonl."""
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == list(SEEDS)
    types = [kind["name"] for kind in json.loads((folder / "run.json").read_text())["maps"]]
    assert types == TYPES
    for row in rows:
        assert [key for key in row if key != "seed"] == [f"{name}_file_name" for name in types]
        for name in types:
            path = row[f"{name}_file_name"]
            assert not path.startswith("/")
            assert ".." not in path
            assert (folder / path).read_bytes().startswith(b"\x89PNG")


def test_hugging_face_datasets_reads_the_folder(folder, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    found = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=str(tmp_path / "cache"))
    assert found.column_names == [*TYPES, "seed"]
    assert found["seed"][:] == list(SEEDS)
    for name, scale in CODES_PER_VALUE.items():
        file = folder / "00001" / f"seed001042_{name}.png"
        values = get_format("png").decode(name, file.read_bytes())
        codes = np.asarray(found[2][name]).reshape(*values.shape[1:], -1)
        np.testing.assert_array_equal(np.moveaxis(codes, -1, 0), np.rint(values * scale))
