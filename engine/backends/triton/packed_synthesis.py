"""A generator's synthesis network packed for the kernels: normalised weights, and constants with gains folded in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.generator.layers import LRELU_GAIN, ModulatedConv, ToRGB
from sgi.engine.generator.synthesis import Synthesis
from sgi.kernels.gpu import PackedConv, pack_conv

# The phases form is never faster for wider up-convolutions, and its weights are four times as large.
PHASES_FORM_MAX_INPUTS = 128
# The pairs form does more arithmetic, which wider convolutions are bound by.
PAIRS_FORM_MAX_CHANNELS = 64


@dataclass(frozen=True)
class ConvLayer:
    """A modulated convolution. bias: [O] float32; noise: [1, R, R] float32 or None; both multiplied by sqrt 2."""

    packed: PackedConv
    up: bool
    bias: Tensor
    noise: Tensor | None
    clamp: float | None


@dataclass(frozen=True)
class RgbLayer:
    """A to-rgb layer. weight: [C, I] float32 with the gain 1 / sqrt(I) in it; bias: [C] float32."""

    weight: Tensor
    bias: Tensor
    clamp: float | None


@dataclass(frozen=True)
class PackedSynthesis:
    """Convolutions and to-rgb layers from 4 px up; convs[2 r - 1], convs[2 r] and rgbs[r] belong to block r.

    const: [1, 4, 4, C] of the kernels' type. conv_index, rgb_index: positions in `Synthesis.styled_layers`.
    """

    const: Tensor
    convs: tuple[ConvLayer, ...]
    rgbs: tuple[RgbLayer, ...]
    conv_index: tuple[int, ...]
    rgb_index: tuple[int, ...]
    dtype: torch.dtype


def pack_synthesis(synthesis: Synthesis, dtype: torch.dtype, noise_mode: str) -> PackedSynthesis:
    """Pack a synthesis network on its device; noise_mode is none or const."""
    convs, rgbs, conv_index, rgb_index = [], [], [], []
    for i, layer in enumerate(synthesis.styled_layers()):
        if isinstance(layer.module, ToRGB):
            rgbs.append(_rgb(layer.module))
            rgb_index.append(i)
        else:
            convs.append(_conv(layer.module, dtype, noise_mode))
            conv_index.append(i)
    const = synthesis.get_parameter("b4.const").detach()
    return PackedSynthesis(
        const=const.permute(1, 2, 0)[None].to(dtype).contiguous(),
        convs=tuple(convs),
        rgbs=tuple(rgbs),
        conv_index=tuple(conv_index),
        rgb_index=tuple(rgb_index),
        dtype=dtype,
    )


def _conv(module: ModulatedConv, dtype: torch.dtype, noise_mode: str) -> ConvLayer:
    noise = None
    if noise_mode == "const" and bool(module.noise_strength != 0):
        noise = (module.noise_const * module.noise_strength * LRELU_GAIN).detach()[None].contiguous()
    outputs, inputs = module.weight.shape[:2]
    phases = module.up and inputs <= PHASES_FORM_MAX_INPUTS
    pairs = not module.up and max(inputs, outputs) <= PAIRS_FORM_MAX_CHANNELS and dtype.itemsize == 2
    return ConvLayer(
        packed=pack_conv(module.weight, dtype, up=phases, pairs=pairs),
        up=module.up,
        bias=(module.bias * LRELU_GAIN).detach().contiguous(),
        noise=noise,
        clamp=module.clamp,
    )


def _rgb(module: ToRGB) -> RgbLayer:
    weight = (module.weight[:, :, 0, 0] * module.style_gain).detach().contiguous()
    return RgbLayer(weight, module.bias.detach().contiguous(), module.clamp)
