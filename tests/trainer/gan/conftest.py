"""A run that is small enough for a test: 16 px, four images a step, images of noise."""

from __future__ import annotations

import pytest
import torch
from noise_images import NoiseImages

from sgi.trainer.gan.train_config import find_preset


@pytest.fixture
def images():
    return NoiseImages()


@pytest.fixture
def tiny():
    return find_preset("tiny")


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in a fixed order, which bit-identical resumption requires."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
