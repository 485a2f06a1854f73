"""Runs that start from networks trained before, and refused files."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sgi.engine.errors import UserError
from sgi.engine.generator import load_generator, save_generator
from sgi.engine.generator.file import read_header
from sgi.trainer.gan.generator_run import train_generator
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.start import DISCRIMINATOR_FILE, load_start

CPU = torch.device("cpu")


@pytest.fixture
def former(tiny, images, tmp_path):
    """The folder of a finished run of ten steps."""
    train(tiny, images, tmp_path / "former", CPU)
    return tmp_path / "former"


def start_of(config, folder):
    return load_start(config, folder / "ema.safetensors", folder / "discriminator.safetensors")


def test_starts_with_the_networks_and_counts_their_images(tiny, images, former, tmp_path):
    seen: list[tuple[int, float]] = []

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


def test_a_checkpoint_takes_precedence_over_the_start(tiny, images, former, tmp_path):
    config = dataclasses.replace(tiny, total_kimg=0.048)
    train(config, images, tmp_path / "next", CPU, start=start_of(tiny, former))
    steps = []
    longer = dataclasses.replace(tiny, total_kimg=0.056)
    train(longer, images, tmp_path / "next", CPU, start=start_of(tiny, former), report=lambda t, s, p: steps.append(t))
    assert steps[0].steps == 14
    assert len(steps) == 2


def test_generator_and_discriminator_are_given_together(former, tmp_path):
    folder = tmp_path / "run"
    files = {"generator": former / "ema.safetensors", "discriminator": former / "discriminator.safetensors"}
    settings: dict[str, Any] = {"preset": "tiny", "count": 8, "kimg": 0.044, "teacher": None}
    for name, file in files.items():
        with pytest.raises(UserError, match="pass both `generator` and `discriminator`, or neither"):
            train_generator(folder, **settings, **{name: file})
    assert not folder.exists()
    assert train_generator(folder, **settings, **files).kimg == 0.044
    assert read_header(folder / "ema.safetensors").notes["kimg"] == 0.044


def test_files_that_do_not_match_are_refused(tiny, former, tmp_path):
    generator, discriminator = former / "ema.safetensors", former / "discriminator.safetensors"
    with pytest.raises(UserError, match=r"`generator=.*not those of `preset`"):
        load_start(dataclasses.replace(tiny, w_dim=8), generator, discriminator)
    unknown = tmp_path / "unknown.safetensors"
    save_generator(unknown, load_generator(generator))
    with pytest.raises(UserError, match=r"`generator=.*not made by `sgi-engine train-generator`"):
        load_start(tiny, unknown, discriminator)
    state = load_file(discriminator)
    header = {DISCRIMINATOR_FILE.key: json.dumps({"format": 1, "kimg": 0.04})}
    key = DISCRIMINATOR_FILE.key
    other = tmp_path / "other.safetensors"
    some = dict(list(state.items())[1:])
    cases = [
        (
            state,
            None,
            "not a discriminator file but a safetensors file of another program; use one",
        ),
        (state, {key: "[1]"}, "damaged header"),
        (
            state,
            {DISCRIMINATOR_FILE.key: json.dumps({"format": 2})},
            "a discriminator file of format 2, this version reads 1",
        ),
        (state, {key: "{"}, "damaged header"),
        (state, {key: json.dumps({"format": 1})}, "damaged header.*kimg"),
        (
            state,
            {DISCRIMINATOR_FILE.key: json.dumps({"format": 1, "kimg": 0.036})},
            "trained on 0.036 kimg, the generator on 0.04",
        ),
        (some, header, "not those of `preset`"),
        ({name: tensor[..., :1].contiguous() for name, tensor in state.items()}, header, "not those of `preset`"),
    ]
    for tensors, metadata, words in cases:
        save_file(tensors, other, metadata=metadata)
        with pytest.raises(UserError, match=f"other.safetensors.*{words}") as caught:
            load_start(tiny, generator, other)
        assert "\n" not in str(caught.value)
    other.write_bytes(discriminator.read_bytes()[:-9])
    with pytest.raises(UserError, match="of another length than its header gives"):
        load_start(tiny, generator, other)
    with pytest.raises(UserError, match="no such file"):
        load_start(tiny, generator, tmp_path / "missing")
