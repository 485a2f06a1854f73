"""Small generators of random weights, made in code: no test needs a download or the bundle."""

from __future__ import annotations

import interpreter  # noqa: F401  before anything imports triton
import offline  # noqa: F401  before anything imports a Hugging Face library
import pytest

pytest.importorskip("torch")

from sgi.engine.generator import Generator, GeneratorConfig, random_generator

TINY = GeneratorConfig(16, z_dim=8, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)
CONDITIONAL = GeneratorConfig(
    32, z_dim=8, w_dim=12, c_dim=3, mapping_layers=2, channel_base=256, channel_max=16, conv_clamp=1.0
)


@pytest.fixture(scope="session")
def tiny_generator() -> Generator:
    """16 px, 16 channels, without classes."""
    return random_generator(TINY, seed=1)


@pytest.fixture(scope="session")
def conditional_generator() -> Generator:
    """32 px with three classes and activations clamped low enough to matter."""
    return random_generator(CONDITIONAL, seed=2)


@pytest.fixture(autouse=True)
def user_cache(tmp_path_factory, monkeypatch):
    """An empty folder of caches, in place of the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder
