"""Flat state dicts with NVIDIA's tensor names, such as `synthesis.b4.const`, which conversion scripts write."""

from __future__ import annotations

from typing import Any

from sgi.engine.generator.checkpoints.checkpoint import PUBLISHED_LR_MULTIPLIER, Checkpoint, assemble
from sgi.engine.generator.checkpoints.container import Container

KEYS = ("g_ema", "G_ema", "state_dict")
ASSUMED = (
    "the format does not store conv_clamp: assumed to be none",
    "the format does not store the learning-rate multiplier of the mapping network: assumed to be "
    f"{PUBLISHED_LR_MULTIPLIER}",
)


def detect(container: Container) -> bool:
    """Whether a container has a dict with NVIDIA's tensor names."""
    return _state(container.root) is not None


def load(container: Container) -> Checkpoint:
    """The generator of a flat state dict; conv_clamp and the learning-rate multiplier are assumed."""
    state = _state(container.root) or {}
    own = {name: value for name, value in state.items() if str(name).startswith(("mapping.", "synthesis."))}
    outside = [str(key) for key in (container.root if state is not container.root else state.keys() - own.keys())]
    return assemble(
        container.label,
        f"flat StyleGAN2 state dict ({container.kind})",
        {name: container.reader.tensor(value, name) for name, value in own.items()},
        conv_clamp=None,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER,
        assumed=ASSUMED,
        dropped=[key for key in outside if state is container.root or container.root[key] is not state],
    )


def _state(root: Any) -> dict[Any, Any] | None:
    if not isinstance(root, dict):
        return None
    for candidate in (root, *(root.get(key) for key in KEYS)):
        if isinstance(candidate, dict) and "synthesis.b4.const" in candidate:
            return candidate
    return None
