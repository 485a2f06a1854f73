"""A 16 px generator of random weights, a teacher that is a formula, and their pools, built in milliseconds."""

from __future__ import annotations

import hashlib

import pytest
import torch

from sgi.engine import intrinsics
from sgi.engine.generator import Generator, GeneratorConfig, random_generator
from sgi.trainer.offsets.job import Pools
from sgi.trainer.offsets.pool import Pool, Sampling
from sgi.trainer.offsets.readout import readout
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.offsets.spaces import get_space


class InverseTeacher:
    """A teacher that returns the inverted colours of a picture as codes of every type."""

    name = "inverse"
    sha256 = hashlib.sha256(b"inverse").hexdigest()
    types = intrinsics.MAP_TYPES
    classes: tuple[str, ...] = ()
    input_range = (-1.0, 1.0)
    resolution = None

    def __call__(self, image, types):
        assert image.min() >= -1
        assert image.max() <= 1
        return {name: readout(-image, intrinsics.get(name)) for name in types}

    def features(self, image):
        return image.mean(dim=(2, 3))


@pytest.fixture
def generator() -> Generator:
    config = GeneratorConfig(16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)
    network = random_generator(config, seed=3)
    with torch.no_grad():  # keeps all pixels within the nominal range
        for _, block in network.synthesis.blocks():
            block.torgb.weight.mul_(0.1)
    return network


@pytest.fixture
def teacher() -> InverseTeacher:
    return InverseTeacher()


@pytest.fixture
def known_offset(generator):
    """Tensors of a w+ offset of about the size of w."""
    zeros = get_space("w+").zeros(generator.config)["offset"]
    return {"offset": torch.randn(zeros.shape, generator=torch.Generator().manual_seed(1))}


@pytest.fixture
def known_pools(generator, known_offset) -> Pools:
    """Pools whose albedo and depth codes are exactly the predictions of the known offset, not clamped."""
    return Pools(
        _pool(generator, known_offset, fitting_seeds(64, 0)),
        _pool(generator, known_offset, scoring_seeds(32)),
        "holdout",
    )


@torch.no_grad()
def _pool(generator, tensors, seeds) -> Pool:
    sampling = Sampling()
    ws = sampling.ws(generator, seeds)
    image = generator.synthesize(ws + tensors["offset"], "none")
    images = (generator.synthesize(ws, "none") * 0.5 + 0.5).clamp(0, 1)
    codes = {name: readout(image, intrinsics.get(name)) for name in ("albedo", "depth")}
    return Pool(seeds, sampling, ws, images, codes)
