"""The format `dummy`: the maps of a run without files."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
from counting_backend import Fake
from recorded_progress import RecordedProgress

from sgi.engine.api import Engine
from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds
from sgi.engine.run.runner import RunInterrupted


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """The current folder and the folder of temporary files, both empty."""
    for name in ("here", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    yield tmp_path
    assert not list(tmp_path.glob("*/*"))


def test_all_seeds_of_the_part_are_generated_in_the_batches_of_a_run(model, empty, monkeypatch):
    batches = []
    run = OnnxRuntimeBackend.run

    def counted(self, latent, *rest):
        batches.append(latent)
        return run(self, latent, *rest)

    monkeypatch.setattr(OnnxRuntimeBackend, "run", counted)
    progress = RecordedProgress()
    report = run_seeds(
        "0-20", model=model, file_format="dummy", batch=4, shard="2/2", backend="onnxruntime", progress=progress
    )
    assert (report.written, report.found, report.files, report.bytes) == (11, 0, 0, 0)
    assert (report.outdir, report.manifest, report.preview) == (None, None, None)
    assert report.images_per_second > 0
    assert [len(latent) for latent in batches] == [4, 4, 4]
    with Engine.open(model) as engine:
        expected = np.random.RandomState(20).randn(1, engine.artifact.z_dim).astype(np.float32)
    np.testing.assert_array_equal(batches[-1][-1:], expected)
    assert progress.done == {"seeds": 11}
    assert progress.figures["seeds"]["limit"] == "generate"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digits": 8}, "`digits=8` has no effect with `file_format=dummy`"),
        ({"seeds_per_folder": 0}, "`seeds_per_folder=0` has no effect"),
        ({"verify": True}, "`verify=True` has no effect"),
        ({"shard_size": 4}, "`shard_size=4` has no effect"),
    ],
)
def test_settings_of_files_are_refused(model, empty, options, message):
    with pytest.raises(UserError, match=message):
        run_seeds("0-9", model=model, file_format="dummy", **options)


def test_a_map_that_is_not_finite_names_the_seed(model, empty, monkeypatch):
    run = OnnxRuntimeBackend.run

    def broken(self, latent, *rest):
        maps = run(self, latent, *rest)
        maps["depth"][2] = np.nan
        return maps

    monkeypatch.setattr(OnnxRuntimeBackend, "run", broken)
    with pytest.raises(UserError, match="the depth map of seed 7 contains values that are not finite"):
        run_seeds("5-14", model=model, file_format="dummy", batch=4, backend="onnxruntime")


def test_ctrl_c_says_how_many_seeds_there_were(model, empty, monkeypatch):
    monkeypatch.setattr(OnnxRuntimeBackend, "run", lambda self, *rest: Fake(stop_at=1).run(*rest))
    with pytest.raises(RunInterrupted, match="0 of 10 seeds are finished"):
        run_seeds("0-9", model=model, file_format="dummy", backend="onnxruntime")
