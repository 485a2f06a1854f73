"""A small generator file with offsets, and an export that takes no time."""

from __future__ import annotations

import numpy as np
import pytest

from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator, save_generator
from sgi.engine.offsets import Offset

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)


def make_offset(generator, name="depth", **changes):
    """A random offset in w+ of a generator; changes: fields of `Offset`."""
    rows = np.random.RandomState(sum(name.encode())).randn(generator.config.num_ws, generator.config.w_dim)
    values = {"psi": 0.7, "noise_mode": "const", **changes}
    return Offset(name, "w+", {"offset": (rows / 2).astype(np.float32)}, generator_sha256(generator), **values)


@pytest.fixture(scope="session")
def small():
    """16 px without classes; rosinality's format needs z_dim = w_dim."""
    return random_generator(SMALL, seed=8)


@pytest.fixture(scope="session")
def network(small, tmp_path_factory):
    """A generator file."""
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    save_generator(path, small)
    return path


@pytest.fixture(scope="session")
def depth(small, tmp_path_factory):
    """An offset file of the type depth."""
    path = tmp_path_factory.mktemp("offset") / "depth.safetensors"
    make_offset(small).save(path)
    return path
