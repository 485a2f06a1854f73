"""Gradients through the activation and the style in plain torch: the formulas of the kernel."""

from __future__ import annotations

from torch import Tensor

from sgi.kernels.gpu.conv.reference import LRELU_SLOPE, accumulator, spread


def activation_gradient(
    dy: Tensor, y: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor | None, clamp: float | None
) -> tuple[Tensor, Tensor]:
    """See `sgi.kernels.gpu.gradient.launch.activation_gradient`."""
    d, pre = dy.to(accumulator(y)), y.to(accumulator(y))
    if clamp is not None:
        d = d * (pre.abs() < pre.new_tensor(clamp).to(y.dtype))
    d = d.where(pre >= 0, d * LRELU_SLOPE)
    pre = pre.where(pre >= 0, pre / LRELU_SLOPE)
    if noise is not None:
        pre = pre - noise[..., None]
    if bias is not None:
        pre = pre - bias
    return (d * scale[:, None, None, :]).to(y.dtype), (d * pre).sum((1, 2)) / scale


def style_gradient(d: Tensor, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """See `sgi.kernels.gpu.gradient.launch.style_gradient`."""
    wide = d.to(accumulator(x))
    dx = wide * style[:, None, None, :]
    dstyle = (wide * spread(x, d.shape[0])).sum((1, 2))
    return dx.view(-1, *x.shape).sum(0).to(x.dtype), dstyle
