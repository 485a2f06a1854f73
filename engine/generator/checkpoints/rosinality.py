"""`.pt` files of rosinality/stylegan2-pytorch, and the decoders of pSp, e4e and ReStyle, which are the same network."""

from __future__ import annotations

import re

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import Checkpoint
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.renaming import load_renamed
from sgi.engine.generator.checkpoints.state_dicts import find_state

SIGNATURE = "input.input"
_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def detect(container: Container) -> bool:
    """Whether a container has a dict with rosinality's tensor names."""
    return find_state(container, SIGNATURE) is not None


def load(container: Container) -> Checkpoint:
    """The g_ema of a checkpoint, or the decoder of an encoder checkpoint."""
    found = find_state(container, SIGNATURE)
    if found is None:
        raise UserError(f"{container.label}: not a rosinality generator")
    is_decoder = "decoder" in found.path
    format = "encoder with a rosinality decoder" if is_decoder else "rosinality/stylegan2-pytorch"
    return load_renamed(container, found, format, renamed)


def renamed(name: str) -> str | None:
    """NVIDIA's name of a rosinality tensor, None for an unknown tensor."""
    if name == SIGNATURE:
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return noise_name(int(match[1]))
    if match := re.fullmatch(r"(conv1|to_rgb1|convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.+)", name):
        layer, _, number = match[1].partition(".")
        if match[2] not in _LAYER:
            return None
        return f"{layer_name(layer.startswith('to_rgb'), number)}.{_LAYER[match[2]]}"
    return None


def noise_name(index: int) -> str:
    """NVIDIA's name of a noise image: 0 is that of 4 px, then there are two a side."""
    return f"synthesis.b{4 << (index + 1) // 2}.conv{1 - index % 2}.noise_const"


def layer_name(is_to_rgb: bool, number: str) -> str:
    """NVIDIA's name of a layer; number: its index in the list of convolutions or to-rgb layers, "" at 4 px."""
    if not number:
        return f"synthesis.b4.{'torgb' if is_to_rgb else 'conv1'}"
    index = int(number)
    return f"synthesis.b{8 << index}.torgb" if is_to_rgb else f"synthesis.b{8 << index // 2}.conv{index % 2}"
