"""The progress of a run: the limiting stage, the rate of the last seconds, bytes, and the times of the stages."""

from __future__ import annotations

import time

import pytest
from recorded_progress import RecordedProgress

from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.run import map_files, run_seeds
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.reporting import RunReporter
from sgi.engine.run.stage_times import StageTimes
from sgi.engine.writers.npy_format import Npy


@pytest.mark.parametrize(
    ("times", "limit"),
    [
        (StageTimes(5, 1, 9, 2), "generate"),
        (StageTimes(1, 5, 9, 2), "encode"),
        (StageTimes(1, 5, 2, 9), "write"),
        (StageTimes(), ""),
    ],
)
def test_the_limit_is_what_the_loop_waits_for(times, limit):
    assert times.limit_since(StageTimes()) == limit
    assert times.limit_since(times.copy()) == ""


def slowed(function):
    def slow(*arguments, **options):
        time.sleep(0.02)
        return function(*arguments, **options)

    return slow


@pytest.mark.parametrize("stage", ["generate", "encode", "write"])
def test_a_slow_stage_is_named(model, tmp_path, monkeypatch, stage):
    if stage == "generate":
        monkeypatch.setattr(OnnxRuntimeBackend, "run", slowed(OnnxRuntimeBackend.run))
    elif stage == "encode":
        monkeypatch.setattr(Npy, "encode", slowed(Npy.encode))
    else:
        monkeypatch.setattr(map_files, "write_atomically", slowed(map_files.write_atomically))
    progress = RecordedProgress()
    run_seeds(
        "0-39", model=model, outdir=tmp_path, backend="onnxruntime", file_format="npy", batch=2, preview=False,
        progress=progress,
    )  # fmt: skip
    assert progress.figures["seeds"]["limit"] == stage
    assert progress.figures["seeds"]["bytes"] == sum(path.stat().st_size for path in tmp_path.glob("*.npy"))
    assert progress.done == {"seeds": 40}
    assert f", limit: {stage}" in progress.notes["seeds"][-1]


def test_the_rate_is_that_of_the_last_ten_seconds():
    progress, outcome = RecordedProgress(), Outcome(found=1000)
    with progress.stage("seeds", 4000) as stage:
        reporter = RunReporter(outcome, stage, progress, "latent")
        for second in range(1, 31):
            outcome.seconds, outcome.written = float(second), outcome.written + (100 if second <= 15 else 10)
            outcome.times.generate += 1
            reporter()
    assert progress.figures["seeds"]["images_per_second"] == 10
    assert progress.notes["seeds"][-1] == "10.0 latents/s, 0 B, limit: generate"
    assert progress.done == {"seeds": 2650}
