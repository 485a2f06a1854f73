"""`.pth` files of BasicSR's StyleGAN2Generator, which GFPGAN uses: rosinality's network under other names.

Source of the names: basicsr/archs/stylegan2_arch.py, and `save_network` of basicsr/models/base_model.py.
"""

from __future__ import annotations

import re

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import Checkpoint, Unsupported
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.renaming import load_renamed
from sgi.engine.generator.checkpoints.rosinality import layer_name, noise_name
from sgi.engine.generator.checkpoints.state_dicts import find_state

SIGNATURE = "constant_input.weight"
ASSUMED = (
    "the format does not store the upsampling: assumed to be that of StyleGAN2Generator, not StyleGAN2GeneratorBilinear"
)
_LAYER = {
    "modulated_conv.weight": "weight",
    "modulated_conv.modulation.weight": "affine.weight",
    "modulated_conv.modulation.bias": "affine.bias",
    "weight": "noise_strength",
    "activate.bias": "bias",
}
_TO_RGB = {**_LAYER, "bias": "bias"}


def detect(container: Container) -> bool:
    """Whether a container has a dict with BasicSR's tensor names."""
    return find_state(container, SIGNATURE) is not None


def load(container: Container) -> Checkpoint:
    """The params_ema of a file; raises Unsupported for GFPGAN's network without equalised learning rates."""
    found = find_state(container, SIGNATURE)
    if found is None:
        raise UserError(f"{container.label}: not a BasicSR generator")
    if "style_conv1.bias" in found.tensors:
        raise Unsupported(
            f"{container.label}: refused, a StyleGAN2GeneratorClean of GFPGAN, which upsamples bilinearly; "
            "only StyleGAN2's filter is read"
        )
    return load_renamed(container, found, "BasicSR", renamed, [ASSUMED])


def renamed(name: str) -> str | None:
    """NVIDIA's name of a BasicSR tensor, None for an unknown tensor."""
    if name == SIGNATURE:
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style_mlp\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise(\d{1,2})", name):
        return noise_name(int(match[1]))
    if match := re.fullmatch(r"(style_conv1|to_rgb1|style_convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.+)", name):
        layer, _, number = match[1].partition(".")
        is_to_rgb = layer.startswith("to_rgb")
        part = (_TO_RGB if is_to_rgb else _LAYER).get(match[2])
        return None if part is None else f"{layer_name(is_to_rgb, number)}.{part}"
    return None
