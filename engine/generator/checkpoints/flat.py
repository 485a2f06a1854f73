"""Flat state dicts with NVIDIA's tensor names, such as `synthesis.b4.const`, that converters save."""

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


def detect(box: Container) -> bool:
    """Whether a container has a dict with NVIDIA's tensor names."""
    return _state(box.root) is not None


def load(box: Container) -> Checkpoint:
    """The generator of a flat state dict; the format lacks the clamps and which blocks use float16."""
    state = _state(box.root) or {}
    own = {name: value for name, value in state.items() if str(name).startswith(("mapping.", "synthesis."))}
    outside = [str(key) for key in (box.root if state is not box.root else state.keys() - own.keys())]
    return assemble(
        box.label,
        f"flat StyleGAN2 state dict ({box.kind})",
        {name: box.reader.tensor(value, name) for name, value in own.items()},
        conv_clamp=None,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER,
        assumed=ASSUMED,
        dropped=[key for key in outside if state is box.root or box.root[key] is not state],
    )


def _state(root: Any) -> dict[Any, Any] | None:
    if not isinstance(root, dict):
        return None
    for candidate in (root, *(root.get(key) for key in KEYS)):
        if isinstance(candidate, dict) and "synthesis.b4.const" in candidate:
            return candidate
    return None
