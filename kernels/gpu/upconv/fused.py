"""The up-convolution with the next layer's style in its epilogue, for inference."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.dispatch import use_kernel
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.upconv import reference


@torch.library.custom_op("sgi::fused_up_conv", mutates_args=())
def fused_up_conv(
    x: Tensor,
    weight: Tensor,
    six: Tensor | None,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    """`up_conv`, then its output times next_style [N, O] float32; no gradient. Returns [N, 2 H, 2 W, O]."""
    if not use_kernel(x):
        y = reference.up_conv(x, weight, style, scale, noise, bias, clamp)
        return modulated(y, next_style, y.shape[0]).clone()
    from sgi.kernels.gpu.upconv import launch

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
    return launch.up_conv(x, weight, six, scale.shape[0], style, epilogue, form)


@fused_up_conv.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    six: Tensor | None,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    return x.new_empty(scale.shape[0], 2 * x.shape[1], 2 * x.shape[2], weight.shape[2])
