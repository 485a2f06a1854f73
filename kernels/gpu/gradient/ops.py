"""The gradient of a modulated convolution as an operator, shared by the plain and the up-convolution.

Both are y = clamp(lrelu(scale * L(style * x) + noise + bias)) and differ only in the linear map L. With g the
gradient of L's output and d that of its input, the steps are dy -> (g, dscale) -> d -> (dx, dstyle).
Gradients go to x, style and scale; weights, noise and bias are frozen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sgi.kernels.gpu.gradient import reference
from sgi.kernels.gpu.register import Gradient, register_op

InputGradient = Callable[[Tensor, Tensor], Tensor]
"""(g [N, H', W', O], weight [9, I, O]) -> d [N, H, W, I], both of the activations' type."""


def convolution_gradient(name: str, *, reference_step: InputGradient, kernel_step: InputGradient) -> Gradient:
    """Register the operator `sgi::NAME` that computes the gradient, and return it for `register_op`.

    kernel_step, reference_step: the gradient through L by the kernels and in plain torch. The first operands of the
    differentiated operator must be x, weight, style, scale, noise, bias and clamp; further ones have no gradient.
    """

    def in_torch(
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
        g, dscale = reference.activation_gradient(dy, y, scale, noise, bias, clamp)
        dx, dstyle = reference.style_gradient(reference_step(g, weight), x, style)
        return dx, dstyle, dscale

    def by_kernels(
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
        """Gradients of x [NX, H, W, I], style [N, I] and scale [N, O] from that of y [N, H', W', O]."""
        from sgi.kernels.gpu.gradient.launch import activation_gradient, style_gradient

        g, dscale = activation_gradient(dy.contiguous(), y, scale, noise, bias, clamp)
        dx, dstyle = style_gradient(kernel_step(g, weight), x, style)
        return dx, dstyle, dscale

    def fake(
        dy: Tensor, y: Tensor, x: Tensor, weight: Tensor, style: Tensor, scale: Tensor, *_: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return torch.empty_like(x), torch.empty_like(style), torch.empty_like(scale)

    by_kernels.__name__ = name
    op = register_op(reference=in_torch, fake=fake)(by_kernels)

    def save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, style, scale, noise, bias, clamp, *others = inputs
        ctx.save_for_backward(output, x, weight, style, scale, noise, bias)
        ctx.clamp = clamp
        ctx.others = len(others)

    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        y, x, weight, style, scale, noise, bias = ctx.saved_tensors
        dx, dstyle, dscale = op(dy, y, x, weight, style, scale, noise, bias, ctx.clamp)
        return dx, None, dstyle, dscale, None, None, None, *[None] * ctx.others

    return Gradient(save, backward)
