"""The up-convolution with the next layer's style in its epilogue, for inference."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.register import register_op
from sgi.kernels.gpu.upconv import reference


def _reference(
    x: Tensor,
    weight: Tensor,
    phase_weights: Tensor | None,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
    next_style: Tensor | None,
    form: str | None,
) -> Tensor:
    y = reference.up_conv(x, weight, style, scale, noise, bias, clamp)
    return modulated(y, next_style, y.shape[0]).clone()


def _fake(
    x: Tensor, weight: Tensor, phase_weights: Tensor | None, style: Tensor | None, scale: Tensor, *_: Any
) -> Tensor:
    return x.new_empty(scale.shape[0], 2 * x.shape[1], 2 * x.shape[2], weight.shape[2])


@register_op(reference=_reference, fake=_fake)
def fused_up_conv(
    x: Tensor,
    weight: Tensor,
    phase_weights: Tensor | None,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    """`up_conv`, then its output times next_style [N, O] float32; no gradient. Returns [N, 2 H, 2 W, O]."""
    from sgi.kernels.gpu.upconv import launch

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
    return launch.up_conv(x, weight, phase_weights, scale.shape[0], style, epilogue, form)
