"""The up-convolution as a torch operator: dispatch, shape inference, gradients to x, style and scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sgi.kernels.gpu.conv.ops import save_for_gradient
from sgi.kernels.gpu.dispatch import use_kernel
from sgi.kernels.gpu.gradient import reference as gradient
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.upconv import reference


@torch.library.custom_op("sgi::up_conv", mutates_args=())
def up_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
    six: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    """Modulated up-convolution with its activation: clamp(lrelu(scale * FIR(convT(weight, style * x)) + noise + bias)).

    x: [NX, H, W, I], NX dividing N, image i reading x[i % NX]. weight: [9, I, O] of x's type; six: [9, I, 4 * O],
    the four-phase form of the same weight (`pack_conv(up=True)`), or None. form: fir, six or None to choose.
    style: [N, I] float32 or None. scale: [N, O] float32. noise: [1 or N, 2 H, 2 W] float32 or None.
    Returns [N, 2 H, 2 W, O] of x's type. Source: Karras et al., arXiv 1912.04958, section 2 and appendix B.
    """
    if not use_kernel(x):
        return reference.up_conv(x, weight, style, scale, noise, bias, clamp)
    from sgi.kernels.gpu.upconv import launch

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp)
    return launch.up_conv(x, weight, six, scale.shape[0], style, epilogue, form)


@up_conv.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
    six: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    return x.new_empty(scale.shape[0], 2 * x.shape[1], 2 * x.shape[2], weight.shape[2])


@torch.library.custom_op("sgi::up_conv_gradient", mutates_args=())
def up_conv_gradient(
    dy: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x [NX, H, W, I], style [N, I] and scale [N, O] from that of y [N, 2 H, 2 W, O]."""
    if not use_kernel(x):
        g, dscale = gradient.activation_gradient(dy, y, scale, noise, bias, clamp)
        dx, dstyle = gradient.style_gradient(reference.input_gradient(g, weight), x, style)
        return dx, dstyle, dscale
    from sgi.kernels.gpu.conv.launch import conv
    from sgi.kernels.gpu.gradient.launch import activation_gradient, style_gradient
    from sgi.kernels.gpu.upconv.launch import fir

    g, dscale = activation_gradient(dy.contiguous(), y, scale, noise, bias, clamp)
    d, _ = conv(fir(g, pad=2), weight, g.shape[0], stride=2, transposed=True)
    assert d is not None
    dx, dstyle = style_gradient(d, x, style)
    return dx, dstyle, dscale


@up_conv_gradient.register_fake
def _(
    dy: Tensor,
    y: Tensor,
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(style), torch.empty_like(scale)


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    y, x, weight, style, scale, noise, bias = ctx.saved_tensors
    dx, dstyle, dscale = up_conv_gradient(dy, y, x, weight, style, scale, noise, bias, ctx.clamp)
    return dx, None, dstyle, dscale, None, None, None, None, None


up_conv.register_autograd(_backward, setup_context=save_for_gradient)
