"""Runs of ten steps: changed state, written files, and results that do not depend on interruptions."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from PIL import Image
from recorded_progress import RecordedProgress

from sgi.cli import main
from sgi.engine.errors import UserError
from sgi.engine.generator import load_generator
from sgi.trainer.batches import RealImages, latents
from sgi.trainer.gan import loop, quality
from sgi.trainer.gan.generator_run import TrainedGenerator, train_generator
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.step import Training

CPU = torch.device("cpu")
TESTS = Path(__file__).parents[2]


def tensors(value, prefix=""):
    """All tensors of a nested state, by path."""
    if isinstance(value, torch.Tensor):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {k: v for key, item in items for k, v in tensors(item, f"{prefix}/{key}").items()}


def assert_same_state(one, other):
    one, other = tensors(one.state_dict()), tensors(other.state_dict())
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.fixture
def often(monkeypatch):
    """Log every second step and save after each."""
    monkeypatch.setattr(loop, "LOG_KIMG", 0.008)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)


def test_a_step_changes_all_trained_tensors(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    before = {k: v.clone() for k, v in tensors(training.state_dict()).items()}
    stats = training.step(1.0)
    after = tensors(training.state_dict())
    assert all(torch.isfinite(v).all() for v in (*after.values(), *(s for s in stats if s is not None)))
    unchanged = {k for k in before if torch.equal(before[k], after[k])}
    allowed = ("noise_strength", "noise_const", "/generator/mapping.w_avg")
    assert all(name.endswith(allowed) for name in unchanged), unchanged
    assert stats.r1 is not None
    assert training.step(1.0).r1 is None


def test_zero_learning_rate_changes_no_network(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    before = training.generator.get_parameter("synthesis.b16.conv1.weight").clone()
    training.step(0.0)
    assert torch.equal(before, training.generator.get_parameter("synthesis.b16.conv1.weight"))


def test_average_tracks_the_generator_and_w(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    old = training.average.get_parameter("mapping.fc0.weight").clone()
    w = training.generator.mapping(latents(0, 0, 4, 16, CPU)).mean(0)
    training.step(1.0)
    beta = tiny.ema_beta(0.004)
    expected = torch.lerp(training.generator.get_parameter("mapping.fc0.weight"), old, beta)
    torch.testing.assert_close(training.average.get_parameter("mapping.fc0.weight"), expected)
    torch.testing.assert_close(training.average.mapping.w_avg, w * 0.005)


def test_a_run_writes_its_files(tiny, images, tmp_path, often):
    training = train(tiny, images, tmp_path, CPU)
    assert training.steps == 10
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["kimg"] for line in lines] == [0.008, 0.016, 0.024, 0.032, 0.04]
    assert all(-1 <= line["sign_real"] <= 1 and line["r1"] >= 0 for line in lines)
    assert lines[0]["lr_factor"] == 1.0 > lines[-1]["lr_factor"]
    stored = load_generator(tmp_path / "ema.safetensors")
    z = torch.randn(2, 16)
    assert torch.equal(stored(z, noise_mode="none"), training.average(z, noise_mode="none"))
    (grid,) = (tmp_path / "samples").iterdir()
    assert Image.open(grid).size == (128, 128)


def test_log_contains_measured_figures(tiny, images, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MEASURE_KIMG", 0.02)
    monkeypatch.setattr(loop, "MEASURE_SECONDS", 0.0)
    measured = []

    def measure(generator):
        measured.append(generator)
        return {"frechet": 0.5}

    training = train(tiny, images, tmp_path, CPU, measure=measure)
    assert measured == [training.average] * 2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line for line in lines if "frechet" in line] == [
        {"kimg": 0.02, "frechet": 0.5},
        {"kimg": 0.04, "frechet": 0.5},
    ]


def test_samples_and_measurements_have_a_least_interval_in_seconds(tiny, images, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MEASURE_KIMG", 0.004)
    monkeypatch.setattr(loop, "SAMPLE_KIMG", 0.004)
    measured, drawn = [], []
    monkeypatch.setattr(loop.RunFiles, "save_samples", lambda files, training: drawn.append(training.steps))

    def measure(generator):
        measured.append(generator)
        return {}

    train(tiny, images, tmp_path, CPU, measure=measure)
    assert len(measured) == 1
    assert drawn == [1, 10]  # the first multiple, and the end of the run


def test_a_killed_run_ends_with_the_same_state_as_an_uninterrupted_one(tiny, images, tmp_path, often, monkeypatch):
    whole = train(tiny, images, tmp_path / "whole", CPU)

    def die(training, seconds, progress):
        if training.steps == 4:  # saved after step 3; the log continues to step 6
            monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 1e9)
        if training.steps == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny, images, tmp_path / "killed", CPU, report=die)
    continued = []
    killed = train(tiny, images, tmp_path / "killed", CPU, report=lambda t, s, p: continued.append(t.steps))
    assert continued[0] == 4
    assert_same_state(whole, killed)
    kimg = [json.loads(line)["kimg"] for line in (tmp_path / "killed/log.jsonl").read_text().splitlines()]
    assert kimg == [0.008, 0.016, 0.024, 0.032, 0.04]


SIGNALLED = """
import os, signal, sys, torch
from pathlib import Path
from sgi.trainer.gan.train_config import find_preset
from sgi.trainer.gan.loop import train

folder, number = Path(sys.argv[1]), int(sys.argv[3])
sys.path.insert(0, sys.argv[2])
from noise_images import NoiseImages
torch.set_num_threads(1)
signal.signal(number, before := signal.default_int_handler)

def interrupt(training, seconds, progress):
    if training.steps == 3:
        os.kill(os.getpid(), number)

assert train(find_preset("tiny"), NoiseImages(), folder, torch.device("cpu"), report=interrupt).steps == 3
assert signal.getsignal(number) is before
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_after_saving(tiny, images, tmp_path, number):
    # In a separate process, because pytest handles signals itself.
    command = [sys.executable, "-c", SIGNALLED, tmp_path, TESTS, str(int(number))]
    subprocess.run(list(map(str, command)), check=True)
    continued = []
    train(tiny, images, tmp_path, CPU, report=lambda t, s, p: continued.append(t.steps))
    assert continued[0] == 4


def test_without_resume_a_run_starts_again(tiny, images, tmp_path):
    train(tiny, images, tmp_path, CPU)
    steps = []
    train(tiny, images, tmp_path, CPU, resume=False, report=lambda t, s, p: steps.append(t.steps))
    assert steps[0] == 1


def test_a_longer_budget_continues_a_finished_run(tiny, images, tmp_path):
    train(tiny, images, tmp_path, CPU)
    assert train(dataclasses.replace(tiny, total_kimg=0.048), images, tmp_path, CPU).steps == 12


def test_checkpoints_of_other_settings_are_refused(tiny, images, tmp_path):
    train(dataclasses.replace(tiny, total_kimg=0.004), images, tmp_path, CPU)
    with pytest.raises(UserError, match=r"checkpoint\.pt.*r1_gamma.*`resume=False`"):
        train(dataclasses.replace(tiny, r1_gamma=9.0), images, tmp_path, CPU)


def test_a_damaged_checkpoint_is_refused(tiny, images, tmp_path):
    train(dataclasses.replace(tiny, total_kimg=0.004), images, tmp_path, CPU)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"checkpoint\.pt.*`resume=False`"):
        train(tiny, images, tmp_path, CPU)


def test_a_run_without_a_budget_is_refused(tiny, images, tmp_path):
    with pytest.raises(UserError, match="no budget: pass `kimg` or `hours`"):
        train(dataclasses.replace(tiny, total_kimg=None), images, tmp_path, CPU)


def test_train_generator_renders_and_trains(tmp_path):
    progress = RecordedProgress()
    trained = train_generator(
        tmp_path / "run", "tiny", kimg=0.008, count=8, data=tmp_path / "rooms", teacher=None, progress=progress
    )
    assert trained == TrainedGenerator(tmp_path / "run/ema.safetensors", 0.008)
    assert load_generator(trained.file).config.resolution == 16
    assert (tmp_path / "rooms/header.json").exists()
    # The first step of two is half of the budget.
    assert progress.done == progress.totals == {"rooms": 8, "generator": 50}
    assert progress.notes["generator"][-1].startswith("0.0 kimg")


def test_run_and_its_measurement_need_no_package_metadata(tmp_path, monkeypatch):
    """A source tree need not be installed."""

    def refuse(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", refuse)
    monkeypatch.setattr("importlib.metadata.version", refuse)
    monkeypatch.setattr(loop, "MEASURE_KIMG", 0.004)
    monkeypatch.setattr(quality, "HELD_OUT_ROOMS", 64)
    train_generator(tmp_path, "tiny", kimg=0.004, count=8)
    measured = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])
    assert measured["images"] == 32
    assert measured["frechet"] > measured["frechet_floor"]


def test_command_reports_the_file(tmp_path, capsys):
    flags = ["--kimg", "0.008", "--count", "8", "--threads", "1", "--workdir", str(tmp_path)]
    assert main(["train-generator", "--preset", "tiny", *flags]) == 0
    assert f"0.0 kimg trained; generator in {tmp_path / 'ema.safetensors'}" in capsys.readouterr().out
    assert main(["train-generator", "--preset", "tiny", "--kimg", "0", "--workdir", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: --kimg 0.0: must be above 0\n"
