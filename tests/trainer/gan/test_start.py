"""Runs that go on with networks trained before: where they begin, and which files are no start."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgi.engine.errors import UserError
from sgi.engine.generator import load_generator, save_generator
from sgi.engine.generator.file import read_header
from sgi.trainer.gan.command import run
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.start import HEADER_KEY, load_start

CPU = torch.device("cpu")


@pytest.fixture
def former(tiny, images, tmp_path):
    """Folder of a finished run of ten steps."""
    train(tiny, images, tmp_path / "former", CPU)
    return tmp_path / "former"


def start_of(config, folder):
    return load_start(config, folder / "ema.safetensors", folder / "discriminator.safetensors")


def test_begins_with_the_networks_and_counts_their_images(tiny, images, former, tmp_path):
    seen = []

    def report(training, seconds, progress):
        if not seen:
            seen.append((training.steps, seconds))

    config = dataclasses.replace(tiny, total_kimg=0.044, lr=1e-9)
    training = train(config, images, tmp_path / "next", CPU, report=report, start=start_of(tiny, former))
    assert training.steps == 11
    assert seen[0][0] == 11
    assert seen[0][1] >= read_header(former / "ema.safetensors").notes["seconds"]
    averaged = load_generator(former / "ema.safetensors").state_dict()
    for network in (training.generator, training.average):
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor, averaged[name], atol=0.05, rtol=0)
    for name, tensor in load_file(former / "discriminator.safetensors").items():
        torch.testing.assert_close(training.discriminator.state_dict()[name], tensor.float(), atol=1e-6, rtol=0)


def test_a_checkpoint_comes_before_the_start(tiny, images, former, tmp_path):
    config = dataclasses.replace(tiny, total_kimg=0.048)
    train(config, images, tmp_path / "next", CPU, start=start_of(tiny, former))
    steps = []
    longer = dataclasses.replace(tiny, total_kimg=0.056)
    train(longer, images, tmp_path / "next", CPU, start=start_of(tiny, former), report=lambda t, s, p: steps.append(t))
    assert steps[0].steps == 14
    assert len(steps) == 2


def test_the_command_takes_both_or_neither(tiny, former, tmp_path):
    config = dataclasses.replace(tiny, scenes=8, total_kimg=0.044)
    folder, files = tmp_path / "run", (former / "ema.safetensors", former / "discriminator.safetensors")
    for pair in ((files[0], None), (None, files[1])):
        with pytest.raises(UserError, match="--generator and --discriminator go together"):
            run(config, folder, None, "cpu", 1, True, None, *pair)
    assert not folder.exists()
    assert run(config, folder, None, "cpu", 1, True, None, *files).startswith("0.0 kimg")
    assert read_header(folder / "ema.safetensors").notes["kimg"] == 0.044


def test_what_is_no_start_is_refused(tiny, former, tmp_path):
    generator, discriminator = former / "ema.safetensors", former / "discriminator.safetensors"
    with pytest.raises(UserError, match=r"--generator .*not those of --preset"):
        load_start(dataclasses.replace(tiny, w_dim=8), generator, discriminator)
    unknown = tmp_path / "unknown.safetensors"
    save_generator(unknown, load_generator(generator))
    with pytest.raises(UserError, match=r"--generator .*not made by `sgi-engine train-generator`"):
        load_start(tiny, unknown, discriminator)
    state = load_file(discriminator)
    header = {HEADER_KEY: json.dumps({"format": 1, "kimg": 0.04})}
    other = tmp_path / "other.safetensors"
    some = dict(list(state.items())[1:])
    cases = [
        (state, None, "not a discriminator"),
        (state, {HEADER_KEY: "[1]"}, "not a discriminator"),
        (state, {HEADER_KEY: json.dumps({"format": 2})}, "not a discriminator"),
        (state, {HEADER_KEY: "{"}, "not a readable"),
        (state, {HEADER_KEY: json.dumps({"format": 1})}, "not a readable"),
        (state, {HEADER_KEY: json.dumps({"format": 1, "kimg": 0.036})}, "seen 0.036 kimg and --generator 0.04"),
        (some, header, "not those of --preset"),
        ({name: tensor[..., :1].contiguous() for name, tensor in state.items()}, header, "not those of --preset"),
    ]
    for tensors, metadata, words in cases:
        save_file(tensors, other, metadata=metadata)
        with pytest.raises(UserError, match=f"--discriminator .*{words}") as caught:
            load_start(tiny, generator, other)
        assert "\n" not in str(caught.value)
    other.write_bytes(discriminator.read_bytes()[:-9])
    with pytest.raises(UserError, match="not a readable"):
        load_start(tiny, generator, other)
    with pytest.raises(UserError, match="no such file"):
        load_start(tiny, generator, tmp_path / "missing")
