"""The convolution with everything that follows it in inference: the next layer's style, and to-rgb.

Writing y already multiplied by the style of its only reader leaves that reader a plain GEMM, whose operands go from
memory to the tensor cores untouched. These operators have no gradient; fitting uses `ops`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.dispatch import require, use_kernel
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.torgb import reference as torgb_reference


@torch.library.custom_op("sgi::fused_conv", mutates_args=())
def fused_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    rgb_style: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_bias: Tensor | None = None,
    below: Tensor | None = None,
    rgb_clamp: float | None = None,
    write: bool = True,
) -> tuple[Tensor, Tensor]:
    """`modulated_conv`, then its output times next_style, and to-rgb of the output before that.

    The operands are those of `modulated_conv` and `to_rgb`; next_style: [N, O] float32 or None. x carries its own
    style already where `style` is None. Returns y [N, H, W, O] of x's type (empty unless `write`) and the picture
    [N, C, H, W] float32 (empty without rgb_style).
    """
    tail = None
    if rgb_style is not None:
        require(rgb_weight is not None and rgb_bias is not None, "to-rgb: want style, weight and bias")
        assert rgb_weight is not None
        assert rgb_bias is not None
        tail = RgbTail(rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)
    if not use_kernel(x):
        return _reference(x, weight, style, scale, noise, bias, clamp, next_style, tail, write)
    from sgi.kernels.gpu.conv.launch import conv

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
    y, img = conv(x, weight, scale.shape[0], style, epilogue, tail, write=write)
    return x.new_empty(0) if y is None else y, scale.new_empty(0) if img is None else img


def _reference(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
    next_style: Tensor | None,
    tail: RgbTail | None,
    write: bool,
) -> tuple[Tensor, Tensor]:
    y = reference.modulated_conv(x, weight, style, scale, noise, bias, clamp)
    img = scale.new_empty(0)
    if tail is not None:
        img = torgb_reference.to_rgb(y, tail.style, tail.weight, tail.bias, tail.below, tail.clamp)
    if not write:
        return x.new_empty(0), img
    return reference.modulated(y, next_style, y.shape[0]).clone(), img


@fused_conv.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    rgb_style: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_bias: Tensor | None = None,
    below: Tensor | None = None,
    rgb_clamp: float | None = None,
    write: bool = True,
) -> tuple[Tensor, Tensor]:
    n, height, width = scale.shape[0], x.shape[1], x.shape[2]
    y = x.new_empty(n, height, width, weight.shape[2]) if write else x.new_empty(0)
    if rgb_weight is None:
        return y, scale.new_empty(0)
    return y, scale.new_empty(n, rgb_weight.shape[0], height, width)
