"""Differences between calm and rich rooms, and data sets of each."""

from __future__ import annotations

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.trainer.scenes import CALM, RICH, sample_rooms
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.scenes.variety import get_variety


def rooms(variety):
    return sample_rooms(200, torch.Generator().manual_seed(0), variety=variety)


def test_calm_rooms_differ_less():
    calm, rich = rooms(CALM), rooms(RICH)
    assert (calm.stripe_rate == 0).all()
    assert (rich.stripe_rate > 0).any()
    narrower = [0, 2, 3, 4]  # x, yaw, pitch and field of view; the camera's height has one range
    assert (calm.camera.std(0) < rich.camera.std(0))[narrower].all()


def test_calm_rooms_have_the_sizes_of_rich_ones():
    # A small generator learns the sizes of rooms first.
    calm, rich = rooms(CALM).size, rooms(RICH).size
    assert torch.allclose(calm.std(0), rich.std(0), rtol=0.15)
    assert torch.allclose(calm.mean(0), rich.mean(0), rtol=0.05)


def test_a_folder_of_another_variety_is_refused(tmp_path):
    load_or_render(tmp_path, 2, 16, seed=0, variety=CALM)
    with pytest.raises(UserError, match="rooms of another variety"):
        load_or_render(tmp_path, 2, 16, seed=0, variety=RICH)


def test_unknown_variety():
    with pytest.raises(UserError, match="`variety=wild`: choose from rich, calm"):
        get_variety("wild")
