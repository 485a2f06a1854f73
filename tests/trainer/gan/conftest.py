"""A run small enough to be trained in a test: 16 px, four images a step, and pictures made of noise."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import torch

from sgi.trainer.gan.train_config import preset


class NoiseImages:
    """Thirteen random images in steps of 1/255, a count that no batch divides."""

    def __init__(self) -> None:
        codes = torch.randint(256, (13, 3, 16, 16), generator=torch.Generator().manual_seed(0))
        self.codes = codes.byte()

    def __len__(self):
        return len(self.codes)

    def images(self, indices):
        return self.codes[indices].float() / 255


@pytest.fixture
def images():
    return NoiseImages()


@pytest.fixture
def tiny():
    return preset("tiny")


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in a fixed order, which bit-identical resumption rests on."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
