"""Maps of a folder, read with the types that run.json describes."""

from __future__ import annotations

import numpy as np
import pytest

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds
from sgi.engine.run.job import Job
from sgi.engine.run.map_types import types_of
from sgi.engine.run.reading import read_each, read_maps
from sgi.engine.run.run_file import RunFile, read_run
from sgi.engine.run.unreadable import UnreadableError
from sgi.engine.seeds import parse_seeds


@pytest.fixture
def opened(all_types_model, tmp_path):
    """The job and the types of a folder."""
    run_seeds(
        "0-3", model=all_types_model, outdir=tmp_path, backend="onnxruntime", device="cpu", preview=False,
        file_format="npy",
    )  # fmt: skip
    run = read_run(tmp_path)
    assert run
    return Job(tmp_path, run.seeds, run.record), types_of(tmp_path, run)


def test_the_types_are_those_of_the_model(opened, all_types_model):
    _, types = opened
    artifact = Artifact.read(all_types_model)
    assert (types.types, types.resolution) == (artifact.types, artifact.resolution)
    assert types.output("depth") == artifact.output("depth")


def test_each_map_that_can_be_read_is(opened):
    job, types = opened
    whole = read_maps(job, types, 2)
    files = job.files(2)
    files["depth"].unlink()
    files["image"].write_bytes(b"no array")
    np.save(files["albedo"], np.zeros((3, 8, 8), np.float32))
    np.save(files["shading"], np.full((1, 16, 16), np.nan, np.float32))
    maps, damaged = read_each(job, types, 2)
    assert set(maps) == set(whole) - set(damaged)
    np.testing.assert_array_equal(maps["normal"], whole["normal"])
    assert damaged["depth"] == "missing"
    assert damaged["image"].startswith("damaged (")
    assert damaged["albedo"] == "it has the shape [3, 8, 8], not [3, 16, 16]"
    assert damaged["shading"] == "damaged (it contains values that are not finite)"
    with pytest.raises(UnreadableError, match=r"seed000002_image.npy: damaged \(.*\); run again with `verify=True`"):
        read_maps(job, types, 2)
    files["image"].unlink()
    with pytest.raises(UnreadableError, match=r"seed000002_image.npy: missing; run again, which makes it"):
        read_maps(job, types, 2)


@pytest.mark.parametrize("change", [{"maps": None}, {"maps": [{}]}, {"model": {}}, {"model": {"resolution": "16"}}])
def test_a_run_file_that_does_not_describe_its_maps_is_refused(opened, change):
    job, _ = opened
    run = read_run(job.outdir)
    assert run
    with pytest.raises(UserError, match="its run.json does not describe the maps"):
        types_of(job.outdir, RunFile(run.record, run.seeds, {**run.facts, **change}))


def test_positions_in_a_list_of_seeds():
    seeds = parse_seeds("5-9,0-2,4294967295")
    assert seeds.places(np.array(list(seeds))).tolist() == list(range(9))
    assert [seeds.index(seed) for seed in (5, 2, 4294967295)] == [0, 7, 8]
    for wrong in (3, -1, 2**32):
        with pytest.raises(ValueError, match="not in the list"):
            seeds.index(wrong)
    with pytest.raises(ValueError, match="not in the list"):
        seeds.index(5, 1)
