"""A small generator and a function that writes a file."""

from __future__ import annotations

import pytest

from sgi.engine.generator import GeneratorConfig, random_generator

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)


@pytest.fixture(scope="module")
def small():
    return random_generator(SMALL, seed=8)


@pytest.fixture
def written(tmp_path):
    def write(data: bytes):
        path = tmp_path / "network.pkl"
        path.write_bytes(data)
        return path

    return write
