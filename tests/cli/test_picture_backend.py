"""`--backend` of the commands that render G(w + d): what ran is printed, and the kernels write what torch writes.

The kernels are their torch references here; tests/engine/backends runs the kernels themselves.
"""

from __future__ import annotations

import pytest
import torch
from run_command import run
from tolerances import OPTIMISED

import sgi.trainer.teachers
from sgi.cli.ablate import ablate
from sgi.cli.eval import eval as eval_command
from sgi.cli.invert import invert
from sgi.cli.relight import relight
from sgi.cli.score import score
from sgi.cli.train import train
from sgi.engine.backends.triton import kernel_synthesis
from sgi.engine.errors import UserError
from sgi.engine.generator import save_generator
from sgi.engine.offsets import Offset

SMALL = ("--steps", "5", "--batch", "4", "--images", "8", "--holdout", "4", "--no-preview", "--threads", "1")


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch, teacher):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    monkeypatch.setattr(sgi.trainer.teachers, "load_teacher", lambda spec, device: teacher)


@pytest.fixture
def file(tmp_path, generator):
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator)
    return path


def test_train_by_kernels_writes_the_offset_of_torch(tmp_path, file, monkeypatch):
    monkeypatch.setattr(kernel_synthesis, "kernels_missing", lambda device: None)
    found = {}
    for backend in ("torch", "triton"):
        out = tmp_path / backend / "depth.safetensors"
        flags = ("--type", "depth", "--generator", file, "--out", out, "--backend", backend, "--precision", "fp32")
        printed = run(train, *flags, *SMALL)
        assert f"({backend}, cpu, fp32)" in printed.replace("\n", " ")
        found[backend] = Offset.load(out)
    ours, theirs = found["triton"], found["torch"]
    assert ours.fit["backend"] == "triton"
    assert "backend" not in theirs.fit
    change = torch.from_numpy(ours.tensors["offset"] - theirs.tensors["offset"]).norm()
    assert change <= OPTIMISED * torch.from_numpy(theirs.tensors["offset"]).norm()
    for row, figures in theirs.score["rows"].items():
        assert ours.score["rows"][row]["fvu"] == pytest.approx(figures["fvu"], rel=OPTIMISED), row


@pytest.mark.parametrize("command", [ablate, eval_command, invert, relight, score, train])
def test_wrong_backends_are_refused(command, tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    depth = tmp_path / "depth.safetensors"
    needed = {
        ablate: ("--what", "alpha"), invert: (tmp_path / "photo.png",), relight: ("--offset", depth),
        score: ("--offset", depth), train: ("--type", "depth"),
    }  # fmt: skip
    flags = (*needed.get(command, ()), "--generator", file)
    with pytest.raises(UserError, match=r"`?--backend jax`?: choose from auto, torch, triton"):
        run(command, *flags, "--backend", "jax")
    with pytest.raises(UserError, match=r"--backend triton.*(--device cuda|not installed)"):
        run(command, *flags, "--backend", "triton")
