"""A teacher whose albedo is a picture's colour and whose shading is its brightness, offsets and directions."""

from __future__ import annotations

import hashlib

import pytest
import torch

from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset


class LightTeacher:
    """Shading is the mean over RGB, albedo the remainder, depth the red channel."""

    name = "light"
    sha256 = hashlib.sha256(b"light").hexdigest()
    types = ("depth", "albedo", "shading")
    input_range = (0.0, 1.0)
    resolution = None

    def __call__(self, image, types):
        shading = image.mean(dim=1, keepdim=True)
        target = {"shading": shading, "albedo": image - shading + 0.5, "depth": image[:, :1]}
        return {name: target[name].clamp(0, 1) for name in types}


@pytest.fixture
def light_teacher():
    return LightTeacher()


@pytest.fixture
def offsets(generator, known_offset):
    array = known_offset["offset"].numpy()
    return [Offset(name, "w+", {"offset": array}, generator_sha256(generator)) for name in ("depth", "albedo")]


@pytest.fixture
def directions(generator):
    shape = (3, generator.config.num_ws, generator.config.w_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))
