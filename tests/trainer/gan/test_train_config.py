"""Schedules and presets."""

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
def test_the_rate_is_constant_and_then_falls_to_a_tenth(progress, factor):
    assert CONFIG.lr_factor(progress) == pytest.approx(factor)


def test_progress_is_that_of_the_budget_nearer_its_end():
    assert CONFIG.progress(kimg=50, seconds=1800) == 0.5
    assert CONFIG.progress(kimg=10, seconds=5400) == 0.75
    assert CONFIG.progress(kimg=200, seconds=0) == 1.0
    assert dataclasses.replace(CONFIG, hours=None).progress(kimg=25, seconds=1e9) == 0.25
    assert dataclasses.replace(CONFIG, hours=None, total_kimg=None).progress(1e9, 1e9) == 0.0


def test_the_average_forgets_half_in_one_half_life():
    steps = round(CONFIG.ema_kimg * 1000 / CONFIG.batch)
    assert CONFIG.ema_beta(kimg=1000) ** steps == pytest.approx(0.5)


def test_the_half_life_grows_with_the_images_seen():
    # At 10 kimg it is 0.8 kimg: 100 steps of 8.
    assert CONFIG.ema_beta(kimg=10) ** 100 == pytest.approx(0.5)
    assert CONFIG.ema_beta(kimg=0) == 0.0


def test_presets_are_json_and_have_an_end():
    for config in PRESETS.values():
        assert json.loads(json.dumps(config.to_dict()))["resolution"] == config.resolution
        assert config.total_kimg is not None
        assert config.batch % config.minibatch_std_group == 0


@pytest.mark.parametrize(
    ("name", "channels", "generates", "discriminates"),
    [("rooms-64", [128, 128, 128, 64, 32], 1.5e6, 1.2e6), ("rooms-64-wide", [256, 256, 256, 128, 64], 4.5e6, 4.7e6)],
)
def test_sizes_of_the_presets_of_64_px(name, channels, generates, discriminates):
    config = PRESETS[name]
    with torch.device("meta"):
        generator = Generator(generator_config(config))
        discriminator = Discriminator(config.resolution, config.channel_base, config.channel_max)
    assert [generator.config.channels(r) for r in (4, 8, 16, 32, 64)] == channels
    assert sum(p.numel() for p in generator.parameters()) == pytest.approx(generates, rel=0.02)
    assert sum(p.numel() for p in discriminator.parameters()) == pytest.approx(discriminates, rel=0.02)


def test_flags_replace_the_budget_of_the_preset():
    assert (configure("rooms-64", None, 2.0, None).total_kimg, configure("rooms-64", None, 2.0, None).hours) == (
        None,
        2,
    )
    assert configure("rooms-64", 7, None, 99).total_kimg == 7
    assert configure("rooms-64", None, None, 99).scenes == 99


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("huge", None, None, None), "--preset"), (("tiny", 0, None, None), "--kimg"),
     (("tiny", None, -1, None), "--hours"), (("tiny", None, None, 0), "--count")],
)  # fmt: skip
def test_bad_flags_are_named(arguments, named):
    with pytest.raises(UserError, match=named):
        configure(*arguments)
