"""Schedules, presets and the parameters that replace values of a preset."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.trainer.gan.discriminator import Discriminator
from sgi.trainer.gan.generator_run import configure
from sgi.trainer.gan.step import generator_config
from sgi.trainer.gan.train_config import PRESETS, TrainConfig

CONFIG = TrainConfig(resolution=16, batch=8, total_kimg=100, hours=2)


@pytest.mark.parametrize(("progress", "factor"), [(0.0, 1.0), (0.75, 1.0), (0.875, 0.55), (1.0, 0.1)])
def test_learning_rate_is_constant_and_then_falls_to_a_tenth(progress, factor):
    assert CONFIG.lr_factor(progress) == pytest.approx(factor)


def test_progress_is_that_of_the_budget_nearer_to_its_end():
    assert CONFIG.progress(kimg=50, seconds=1800) == 0.5
    assert CONFIG.progress(kimg=10, seconds=5400) == 0.75
    assert CONFIG.progress(kimg=200, seconds=0) == 1.0
    assert dataclasses.replace(CONFIG, hours=None).progress(kimg=25, seconds=1e9) == 0.25
    assert dataclasses.replace(CONFIG, hours=None, total_kimg=None).progress(1e9, 1e9) == 0.0


def test_average_decays_by_half_in_one_half_life():
    steps = round(CONFIG.ema_kimg * 1000 / CONFIG.batch)
    assert CONFIG.ema_beta(kimg=1000) ** steps == pytest.approx(0.5)


def test_half_life_grows_with_the_images_trained_on():
    # At 10 kimg it is 0.8 kimg: 100 steps of 8.
    assert CONFIG.ema_beta(kimg=10) ** 100 == pytest.approx(0.5)
    assert CONFIG.ema_beta(kimg=0) == 0.0


def test_presets_are_json_ready_and_have_a_budget():
    for config in PRESETS.values():
        assert json.loads(json.dumps(config.to_dict()))["resolution"] == config.resolution
        assert config.total_kimg is not None
        assert config.batch % config.minibatch_std_group == 0


@pytest.mark.parametrize(
    ("name", "channels", "generates", "discriminates"),
    [("rooms-64", [128, 128, 128, 64, 32], 1.5e6, 1.2e6), ("rooms-64-wide", [256, 256, 256, 128, 64], 4.5e6, 4.7e6)],
)
def test_network_sizes_of_the_64_px_presets(name, channels, generates, discriminates):
    config = PRESETS[name]
    with torch.device("meta"):
        generator = Generator(generator_config(config))
        discriminator = Discriminator(config.resolution, config.channel_base, config.channel_max)
    assert [generator.config.channels(r) for r in (4, 8, 16, 32, 64)] == channels
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(generates, rel=0.02)
    assert sum(p.numel() for p in discriminator.parameters()) == pytest.approx(discriminates, rel=0.02)


def test_parameters_replace_values_of_the_preset():
    timed = configure("rooms-64", hours=2.0)
    assert (timed.total_kimg, timed.hours) == (None, 2)
    assert configure("rooms-64", kimg=7).total_kimg == 7
    assert configure("rooms-64", count=99).scenes == 99
    assert configure(PRESETS["tiny"]) == PRESETS["tiny"]


@pytest.mark.parametrize(
    ("preset", "budget", "message"),
    [
        ("huge", {}, "`preset=huge`: unknown; choose from tiny"),
        ("tiny", {"kimg": 0}, "`kimg=0`: must be above 0"),
        ("tiny", {"hours": -1}, "`hours=-1`"),
        ("tiny", {"count": 0}, "`count=0`"),
    ],
)
def test_errors_name_invalid_parameters(preset, budget, message):
    with pytest.raises(UserError, match=message):
        configure(preset, **budget)
