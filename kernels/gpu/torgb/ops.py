"""To-rgb with the skip path as a torch operator with gradients to x, style and the picture below."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sgi.kernels.gpu.operands import RgbTail
from sgi.kernels.gpu.register import Gradient, register_op
from sgi.kernels.gpu.torgb import reference


def _fake_gradient(d: Tensor, x: Tensor, style: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(style)


@register_op(reference=reference.gradient, fake=_fake_gradient)
def to_rgb_gradient(d: Tensor, x: Tensor, style: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x [NX, H, W, I] and style [N, I] from that of the unclamped colours d [N, C, H, W]."""
    from sgi.kernels.gpu.torgb.launch import torgb_gradient

    return torgb_gradient(d.contiguous(), x, style, weight)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, style, weight, bias, below, clamp = inputs
    ctx.save_for_backward(x, style, weight, bias)
    ctx.clamp = clamp
    ctx.below_images = 0 if below is None else below.shape[0]


def _backward(ctx: Any, d: Tensor) -> tuple[Tensor | None, ...]:
    x, style, weight, bias = ctx.saved_tensors
    below = None
    if ctx.below_images:
        below = reference.upsample_gradient(d)
        if ctx.below_images != d.shape[0]:
            below = below.view(-1, ctx.below_images, *below.shape[1:]).sum(0)
    if ctx.clamp is not None:
        # The colours before the skip path are not kept: they are cheaper to compute again than to store.
        colours = to_rgb(x, style, weight, bias, None, None)
        d = d * (colours.abs() < ctx.clamp)
    dx, dstyle = to_rgb_gradient(d, x, style, weight)
    return dx, dstyle, None, None, below, None


def _fake(x: Tensor, style: Tensor, weight: Tensor, *_: Any) -> Tensor:
    return x.new_empty(style.shape[0], weight.shape[0], x.shape[1], x.shape[2], dtype=torch.float32)


@register_op(reference=reference.to_rgb, fake=_fake, gradient=Gradient(_save, _backward))
def to_rgb(
    x: Tensor,
    style: Tensor,
    weight: Tensor,
    bias: Tensor,
    below: Tensor | None = None,
    clamp: float | None = None,
) -> Tensor:
    """Colours of a level on the upsampled picture below it: clamp(weight (style * x) + bias) + up2(below).

    x: [NX, H, W, I], NX dividing N, image i reading x[i % NX]. style: [N, I] float32. weight: [C, I] float32 with
    the layer's gain 1 / sqrt(I). bias: [C] float32. below: [NB, C, H / 2, W / 2] float32 or None, NB dividing N.
    Returns [N, C, H, W] float32. Source: Karras et al., arXiv 1912.04958, figure 7 (skip).
    """
    from sgi.kernels.gpu.torgb.launch import torgb

    return torgb(x, RgbTail(style, weight, bias, below, clamp))
