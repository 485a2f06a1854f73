"""Runs of ten steps: what they change, what they write, and that an interruption leaves no trace."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from sgi.engine.errors import UserError
from sgi.engine.generator import load_generator
from sgi.trainer.batches import RealImages, latents
from sgi.trainer.gan import loop
from sgi.trainer.gan.generator_run import run
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.step import Training

CPU = torch.device("cpu")


def tensors(value, prefix=""):
    """Every tensor of a nested state, by path."""
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
    """Log every second step and save after each, so that ten steps show it all."""
    monkeypatch.setattr(loop, "LOG_KIMG", 0.008)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)


def test_a_step_changes_what_it_should(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    before = {k: v.clone() for k, v in tensors(training.state_dict()).items()}
    stats = training.step(1.0)
    after = tensors(training.state_dict())
    assert all(torch.isfinite(v).all() for v in (*after.values(), *(s for s in stats if s is not None)))
    still = {k for k in before if torch.equal(before[k], after[k])}
    allowed = ("noise_strength", "noise_const", "/generator/mapping.w_avg")
    assert all(name.endswith(allowed) for name in still), still
    assert stats.r1 is not None
    assert training.step(1.0).r1 is None


def test_no_rate_changes_no_network(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    before = training.generator.synthesis.b16.conv1.weight.clone()
    training.step(0.0)
    assert torch.equal(before, training.generator.synthesis.b16.conv1.weight)


def test_average_follows_the_generator_and_w(tiny, images):
    training = Training(tiny, RealImages(images, 4, 0, True, CPU), CPU)
    old = training.average.mapping.fc0.weight.clone()
    w = training.generator.mapping(latents(0, 0, 4, 16, CPU)).mean(0)
    training.step(1.0)
    beta = tiny.ema_beta(0.004)
    expected = torch.lerp(training.generator.mapping.fc0.weight, old, beta)
    torch.testing.assert_close(training.average.mapping.fc0.weight, expected)
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


def test_the_log_holds_what_is_measured(tiny, images, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MEASURE_KIMG", 0.02)
    asked = []

    def measure(generator):
        asked.append(generator)
        return {"frechet": 0.5}

    training = train(tiny, images, tmp_path, CPU, measure=measure)
    assert asked == [training.average] * 2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line for line in lines if "frechet" in line] == [
        {"kimg": 0.02, "frechet": 0.5},
        {"kimg": 0.04, "frechet": 0.5},
    ]


def test_a_killed_run_continues_as_if_it_had_not_been(tiny, images, tmp_path, often, monkeypatch):
    whole = train(tiny, images, tmp_path / "whole", CPU)

    def die(training, seconds, progress):
        if training.steps == 4:  # saved after step 3; the log goes on to step 6
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
import os, runpy, signal, sys, torch
from pathlib import Path
from sgi.trainer.gan.train_config import preset
from sgi.trainer.gan.loop import train

folder, conftest, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
torch.set_num_threads(1)
signal.signal(number, before := signal.default_int_handler)
images = runpy.run_path(conftest)["NoiseImages"]()

def interrupt(training, seconds, progress):
    if training.steps == 3:
        os.kill(os.getpid(), number)

assert train(preset("tiny"), images, folder, torch.device("cpu"), report=interrupt).steps == 3
assert signal.getsignal(number) is before
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_saves(tiny, images, tmp_path, number):
    # In a process of its own: a test runner has its own mind about signals.
    conftest = Path(__file__).with_name("conftest.py")
    command = [sys.executable, "-c", SIGNALLED, tmp_path, conftest, str(int(number))]
    subprocess.run(list(map(str, command)), check=True)
    continued = []
    train(tiny, images, tmp_path, CPU, report=lambda t, s, p: continued.append(t.steps))
    assert continued[0] == 4


def test_no_resume_begins_again(tiny, images, tmp_path):
    train(tiny, images, tmp_path, CPU)
    steps = []
    train(tiny, images, tmp_path, CPU, resume=False, report=lambda t, s, p: steps.append(t.steps))
    assert steps[0] == 1


def test_a_longer_budget_continues_a_finished_run(tiny, images, tmp_path):
    train(tiny, images, tmp_path, CPU)
    assert train(dataclasses.replace(tiny, total_kimg=0.048), images, tmp_path, CPU).steps == 12


def test_checkpoints_of_other_settings_are_refused(tiny, images, tmp_path):
    train(dataclasses.replace(tiny, total_kimg=0.004), images, tmp_path, CPU)
    with pytest.raises(UserError, match=r"checkpoint\.pt.*r1_gamma.*--no-resume"):
        train(dataclasses.replace(tiny, r1_gamma=9.0), images, tmp_path, CPU)


def test_a_damaged_checkpoint_is_refused(tiny, images, tmp_path):
    train(dataclasses.replace(tiny, total_kimg=0.004), images, tmp_path, CPU)
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"checkpoint\.pt.*--no-resume"):
        train(tiny, images, tmp_path, CPU)


def test_a_run_without_an_end_is_refused(tiny, images, tmp_path):
    with pytest.raises(UserError, match="--kimg or --hours"):
        train(dataclasses.replace(tiny, total_kimg=None), images, tmp_path, CPU)


def test_the_command_renders_and_trains(tiny, tmp_path):
    config = dataclasses.replace(tiny, scenes=8, total_kimg=0.008)
    line = run(config, tmp_path / "run", tmp_path / "rooms", "cpu", threads=1, resume=True)
    assert "ema.safetensors" in line
    assert load_generator(tmp_path / "run/ema.safetensors").config.resolution == 16
    assert (tmp_path / "rooms/header.json").exists()
