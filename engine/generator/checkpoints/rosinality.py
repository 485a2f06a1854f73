"""`.pt` files of rosinality/stylegan2-pytorch, and the decoders of pSp, e4e and ReStyle, which are the same network."""

from __future__ import annotations

import re
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import (
    MAX_TENSORS,
    PUBLISHED_LR_MULTIPLIER,
    W_AVG,
    Checkpoint,
    assemble,
    check_filter,
)
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.tensors import Ref

ROOT_TENSOR = "input.input"
DECODER = "decoder."
UPSAMPLING_GAIN = 4.0
ASSUMED = (
    "the format does not store the learning-rate multiplier of the mapping network: assumed to be "
    f"{PUBLISHED_LR_MULTIPLIER}",
)
_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}


def detect(container: Container) -> bool:
    """Whether a container has a dict with rosinality's tensor names, with or without the prefix `decoder.`."""
    return _state(container.root) is not None


def load(container: Container) -> Checkpoint:
    """The g_ema of a checkpoint, or the decoder of an encoder checkpoint; `latent_avg` becomes the mean of w."""
    found = _state(container.root)
    if found is None or len(found[1]) > MAX_TENSORS:
        raise UserError(f"{container.label}: not a readable checkpoint (no rosinality generator of a plausible size)")
    format, state, outside = found
    tensors: dict[str, Ref] = {}
    for name, value in state.items():
        ref = container.reader.tensor(value, name)
        if name.endswith((".blur.kernel", ".upsample.kernel")):
            check_filter(container.label, name, ref, UPSAMPLING_GAIN)
            continue
        new = renamed(name)
        if new is None:
            raise UserError(f"{container.label}: not a rosinality generator: an unknown tensor {name[:60]!r}")
        tensors[new] = _reshaped(new, ref)
    average = container.root.get("latent_avg") if isinstance(container.root, dict) else None
    if container.reader.is_tensor(average):
        tensors |= _mean_of_w(container.reader.tensor(average, "latent_avg"))
    return assemble(
        container.label,
        f"{format} ({container.kind})",
        tensors,
        conv_clamp=None,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER,
        assumed=ASSUMED,
        dropped=outside,
    )


def renamed(name: str) -> str | None:
    """NVIDIA's name of a rosinality tensor, None for an unknown tensor."""
    if name == ROOT_TENSOR:
        return "synthesis.b4.const"
    if match := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(match[1]) - 1}.{match[2]}"
    if match := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        index = int(match[1])
        return f"synthesis.b{4 << (index + 1) // 2}.conv{1 - index % 2}.noise_const"
    if match := re.fullmatch(r"(conv1|to_rgb1|convs\.\d{1,2}|to_rgbs\.\d{1,2})\.(.+)", name):
        layer, _, number = match[1].partition(".")
        if match[2] not in _LAYER:
            return None
        side = 4 if not number else 8 << (int(number) // 2 if layer == "convs" else int(number))
        kind = "torgb" if layer.startswith("to_rgb") else "conv1" if not number else f"conv{int(number) % 2}"
        return f"synthesis.b{side}.{kind}.{_LAYER[match[2]]}"
    return None


def _reshaped(name: str, ref: Ref) -> Ref:
    """The tensor without the additional axes of length 1 of rosinality's shapes."""
    if name.endswith("noise_strength") and ref.shape == (1,):
        return ref.reshape()
    if name.endswith("noise_const") and len(ref.shape) == 4 and ref.shape[:2] == (1, 1):
        return ref.reshape(*ref.shape[2:])
    if name.endswith("torgb.bias") and len(ref.shape) == 4 and (ref.shape[0], *ref.shape[2:]) == (1, 1, 1):
        return ref.reshape(ref.shape[1])
    if name.startswith("synthesis.") and len(ref.shape) in (4, 5) and ref.shape[0] == 1:
        return ref.reshape(*ref.shape[1:])
    return ref


def _mean_of_w(average: Ref) -> dict[str, Ref]:
    """w_avg from `latent_avg` [w_dim] or [1 or rows, w_dim]; empty if its rows differ."""
    rows = average.read().reshape(-1, average.shape[-1] if average.shape else 1)
    if len(rows) == 0 or (rows != rows[0]).any():
        return {}
    return {W_AVG: average.map((rows.shape[1],), lambda x: x.reshape(rows.shape)[0])}


def _state(root: Any) -> tuple[str, dict[str, Any], list[str]] | None:
    """Name of the format, tensors by rosinality's names, and the other parts of the file."""
    if not isinstance(root, dict):
        return None
    if _is_generator(root, ROOT_TENSOR):
        return "rosinality state dict", {key: value for key, value in root.items() if key != "latent_avg"}, []
    for key in ("g_ema", "g"):
        if _is_generator(root.get(key), ROOT_TENSOR):
            outside = [str(other) for other in root if other not in (key, "latent_avg")]
            return "rosinality checkpoint", root[key], outside
    state = root.get("state_dict", {})
    if _is_generator(state, DECODER + ROOT_TENSOR):
        own = {name.removeprefix(DECODER): value for name, value in state.items() if name.startswith(DECODER)}
        outside = [str(other) for other in root if other not in ("state_dict", "latent_avg")]
        if len(own) < len(state):
            outside.append("the encoder")
        return "encoder checkpoint with a rosinality decoder", own, outside
    return None


def _is_generator(state: Any, root_tensor: str) -> bool:
    return isinstance(state, dict) and root_tensor in state and all(isinstance(name, str) for name in state)
