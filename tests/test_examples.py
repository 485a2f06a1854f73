"""The examples of docs/ run."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from shard_cases import KINDS, random_maps, settings_for, write_shard

from sgi.engine.seeds import parse_seeds
from sgi.engine.shards import SHARD_FORMATS

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
SEEDS = parse_seeds("0-7")


@pytest.mark.parametrize(("name", "library"), [("webdataset", "webdataset"), ("parquet", "pyarrow")])
def test_a_loader_of_torch_trains_on_shards(tmp_path, monkeypatch, name, library):
    pytest.importorskip(library)
    form = SHARD_FORMATS[name]
    settings = settings_for(form)
    for number in range(2):
        part = SEEDS[4 * number : 4 * number + 4]
        maps = random_maps(settings.dtype, 4, KINDS[:2], seed=number)
        write_shard(form, tmp_path / f"shard-{number:06d}{form.suffix}", settings, maps, part, KINDS[:2])
    example = runpy.run_path(str(EXAMPLES / "train_on_shards.py"))
    pairs = sorted(((image.numpy(), depth.numpy()) for image, depth in example["Pairs"](tmp_path)), key=first)
    assert len(pairs) == len(SEEDS)
    image, depth = (
        np.concatenate([random_maps("codes", 4, KINDS[:2], seed=number)[kind] for number in range(2)])
        for kind in ("image", "depth")
    )
    wanted = sorted(zip(np.moveaxis(image, -1, 1) / 255, depth[..., 0][:, None] / 65535, strict=True), key=first)
    for (found_image, found_depth), (wanted_image, wanted_depth) in zip(pairs, wanted, strict=True):
        np.testing.assert_allclose(found_image, wanted_image, rtol=1e-6)
        np.testing.assert_allclose(found_depth, wanted_depth, rtol=1e-6)
    losses = example["train"](tmp_path, 5, batch=4)
    assert len(losses) == 5
    assert losses[-1] < losses[0]
    (tmp_path / "run.json").write_text('{"dtype": "float16"}')
    with pytest.raises(SystemExit, match="shards of the dtype float16; this example reads codes"):
        example["Pairs"](tmp_path)


def test_a_missing_package_is_named(monkeypatch):
    example = runpy.run_path(str(EXAMPLES / "train_on_shards.py"))
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(SystemExit, match="pip install webdataset"):
        next(example["from_webdataset"]([]))


def first(pair: tuple[np.ndarray, np.ndarray]) -> float:
    """A number that orders the pairs, which a loader shuffles."""
    return float(pair[0].sum())
