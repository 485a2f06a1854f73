"""The modulated convolution as a torch operator: dispatch, shape inference, gradients.

Gradients go to x, style and scale; weights are frozen. `torch.export` and `torch.compile` see one node.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.dispatch import use_kernel
from sgi.kernels.gpu.gradient import reference as gradient
from sgi.kernels.gpu.operands import Epilogue


@torch.library.custom_op("sgi::modulated_conv", mutates_args=())
def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
) -> Tensor:
    """Modulated 3x3 convolution with its activation: clamp(lrelu(scale * conv(weight, style * x) + noise + bias)).

    x: [NX, H, W, I], NX dividing N, image i reading x[i % NX]. weight: [9, I, O] of x's type (`pack_conv`).
    style: [N, I] float32 or None. scale: [N, O] float32: demodulation, sqrt 2 and the weight's norm.
    noise: [1 or N, H, W] float32 or None. bias: [O] float32 or None. The leaky ReLU has slope 0.2 and no gain.
    Returns [N, H, W, O] of x's type. Source: Karras et al., arXiv 1912.04958, equations 1 to 3.
    """
    if not use_kernel(x):
        return reference.modulated_conv(x, weight, style, scale, noise, bias, clamp)
    from sgi.kernels.gpu.conv.launch import conv

    y, _ = conv(x, weight, scale.shape[0], style, Epilogue(scale, noise, bias, act=True, clamp=clamp))
    assert y is not None
    return y


@modulated_conv.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
) -> Tensor:
    return x.new_empty(scale.shape[0], x.shape[1], x.shape[2], weight.shape[2])


@torch.library.custom_op("sgi::modulated_conv_gradient", mutates_args=())
def modulated_conv_gradient(
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
    """Gradients of x [NX, H, W, I], style [N, I] and scale [N, O] from that of y [N, H, W, O]."""
    if not use_kernel(x):
        g, dscale = gradient.activation_gradient(dy, y, scale, noise, bias, clamp)
        dx, dstyle = gradient.style_gradient(reference.input_gradient(g, weight), x, style)
        return dx, dstyle, dscale
    from sgi.kernels.gpu.conv.launch import conv
    from sgi.kernels.gpu.gradient.launch import activation_gradient, style_gradient

    g, dscale = activation_gradient(dy.contiguous(), y, scale, noise, bias, clamp)
    d, _ = conv(g, weight, g.shape[0], transposed=True)
    assert d is not None
    dx, dstyle = style_gradient(d, x, style)
    return dx, dstyle, dscale


@modulated_conv_gradient.register_fake
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


def save_for_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what both convolutions' gradients need; shared with the up-convolution."""
    x, weight, style, scale, noise, bias, clamp = inputs[:7]
    ctx.save_for_backward(output, x, weight, style, scale, noise, bias)
    ctx.clamp = clamp


def _backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    y, x, weight, style, scale, noise, bias = ctx.saved_tensors
    dx, dstyle, dscale = modulated_conv_gradient(dy, y, x, weight, style, scale, noise, bias, ctx.clamp)
    return dx, None, dstyle, dscale, None, None, None


modulated_conv.register_autograd(_backward, setup_context=save_for_gradient)
