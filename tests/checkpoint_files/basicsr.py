"""Files of BasicSR's StyleGAN2Generator, which GFPGAN uses.

Source of every detail: the tensors of StyleGAN2Generator in basicsr/archs/stylegan2_arch.py (its filters are not in the
state dict) and the dict that `save_network` in basicsr/models/base_model.py and stylegan2_model.py saves.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor

from checkpoint_files.pickling import Change, saved
from checkpoint_files.rosinality import rosinality_state
from sgi.engine.generator import Generator


def basicsr_state(generator: Generator) -> dict[str, Tensor]:
    """State dict with BasicSR's names and shapes: rosinality's network under other names."""
    tensors = rosinality_state(generator)
    names = list(tensors)

    def place(name: str) -> float:
        """The noise strength is a parameter of the layer itself, before those of its convolution."""
        layer = name.removesuffix(".noise.weight")
        return names.index(name) if layer == name else names.index(f"{layer}.conv.weight") - 0.5

    state = {}
    for name in sorted(names, key=place):
        if name.endswith(".kernel"):
            continue
        new = name.replace("input.input", "constant_input.weight").replace("noises.noise_", "noises.noise")
        if new.startswith("style."):
            new = f"style_mlp{new.removeprefix('style')}"
        elif new.startswith(("conv1.", "convs.")):
            new = f"style_{new}"
        new = new.replace(".conv.", ".modulated_conv.").replace(".noise.weight", ".weight")
        state[new] = tensors[name]
    return state


def basicsr(generator: Generator, change: Change | None = None) -> bytes:
    """A net_g_latest.pth."""
    state = basicsr_state(generator)
    content: dict[str, Any] = {
        "params": OrderedDict((name, tensor + 1) for name, tensor in state.items()),
        "params_ema": OrderedDict(state),
    }
    if change:
        change(content)
    return saved(content)
