"""`run_seeds`: the run command as a function with keyword arguments."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from tiny_models import SIDE

from sgi.engine.errors import UserError
from sgi.engine.run import RunInterrupted, pipeline, run_seeds
from sgi.engine.writers import get_format


class Recorder:
    """A progress display that keeps what it receives."""

    def __init__(self):
        self.stages, self.messages, self.done, self.notes = [], [], 0, []

    @contextmanager
    def stage(self, name, total, unit=""):
        self.stages.append((name, total, unit))
        yield self

    def message(self, text):
        self.messages.append(text)

    def advance(self, count=1, note=""):
        self.done += count
        self.notes.append(note)


def test_files_and_report(model, tmp_path):
    progress = Recorder()
    report = run_seeds(
        [3, 5, 5], model=model, types=["depth"], outdir=tmp_path, psi=0.5, file_format="npy", progress=progress
    )
    names = {
        "seed000003_depth.npy",
        "seed000005_depth.npy",
        "manifest.jsonl",
        "metadata.jsonl",
        "preview.png",
        "run.json",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    data = (tmp_path / "seed000003_depth.npy").read_bytes()
    assert get_format("npy").decode(None, data).shape == (1, SIDE, SIDE)
    assert (report.written, report.found, report.types) == (2, 0, ("depth",))
    assert (report.outdir, report.preview) == (tmp_path, tmp_path / "preview.png")
    assert (report.backend, report.device, report.precision) == ("onnxruntime", "cpu", None)
    assert report.images_per_second == pytest.approx(2 / report.seconds)
    assert progress.messages == ["1 duplicate seeds dropped"]
    assert progress.stages == [("seeds", 2, "")]
    assert progress.done == 2
    assert progress.notes[-1].endswith(" img/s")


def test_the_same_call_finds_the_seeds_finished(model, tmp_path):
    run_seeds("0-9", model=model, outdir=tmp_path, preview=False)
    progress = Recorder()
    report = run_seeds("0-9", model=model, outdir=tmp_path, preview=False, progress=progress)
    assert (report.written, report.found, report.preview, report.images_per_second) == (0, 10, None, 0)
    assert progress.done == 10


def test_ctrl_c_carries_the_count_of_finished_seeds(model, tmp_path, monkeypatch):
    def interrupted(engine, job, outcome, progress):
        outcome.written = 3
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_seeds("0-9", model=model, outdir=tmp_path)
    assert isinstance(caught.value, RunInterrupted)
    assert (caught.value.finished, caught.value.total) == (3, 10)


@pytest.mark.parametrize("psi", [float("nan"), float("inf")])
def test_psi_must_be_finite(model, tmp_path, psi):
    with pytest.raises(UserError, match=f"`psi={psi}`: give a number"):
        run_seeds(0, model=model, outdir=tmp_path / "out", psi=psi)
    assert not (tmp_path / "out").exists()
