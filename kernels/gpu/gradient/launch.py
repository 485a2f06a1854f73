"""Launches of the gradient through a scale per image and channel: of an activation and of a style."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu.gradient.kernel import scale_gradient_kernel

PIXELS_PER_PROGRAM = 256


def _scale_gradient(
    d: Tensor,
    ref: Tensor,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    act: bool = False,
) -> tuple[Tensor, Tensor]:
    n, height, width, channels = d.shape
    pixels = height * width
    chunks = triton.cdiv(pixels, PIXELS_PER_PROGRAM)
    block = min(64, triton.next_power_of_2(channels))
    out = torch.empty_like(d)
    parts = torch.empty(n, chunks, channels, device=d.device, dtype=torch.float32)
    scale_gradient_kernel[(chunks, n, triton.cdiv(channels, block))](
        d, ref, scale, noise, bias, out, parts, ref.shape[0], scale.stride(0),
        0 if noise is None or noise.shape[0] == 1 else pixels, clamp or 0.0,
        P=pixels, C=channels, ACT=act, HAS_NOISE=noise is not None, HAS_BIAS=bias is not None,
        HAS_CLAMP=clamp is not None, CHUNK=PIXELS_PER_PROGRAM, BM=32, BC=block, num_warps=4,
    )  # fmt: skip
    return out, parts.sum(1)


def activation_gradient(
    dy: Tensor, y: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor | None, clamp: float | None
) -> tuple[Tensor, Tensor]:
    """Gradients of c and scale of y = clamp(lrelu(scale * c + noise + bias)), computed from y and its gradient dy.

    dy, y: [N, H, W, O]; scale: [N, O] float32, not zero; noise: [1 or N, H, W] float32; bias: [O] float32.
    Returns the gradients of c [N, H, W, O] and of scale [N, O] float32.
    """
    if clamp is not None:
        # Clamped values of y equal the bound as y's type rounds it.
        clamp = float(torch.tensor(clamp, dtype=y.dtype))
    g, total = _scale_gradient(dy, y, scale, noise, bias, clamp, act=True)
    return g, total / scale


def style_gradient(d: Tensor, x: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x and style of the product style * x, from its gradient d.

    d: [N, H, W, I]; x: [NX, H, W, I] with image i reading x[i % NX]; style: [N, I] float32.
    Returns [NX, H, W, I] and [N, I] float32.
    """
    dx, ds = _scale_gradient(d, x, style)
    if x.shape[0] != d.shape[0]:
        dx = dx.view(-1, *x.shape).sum(0)
    return dx, ds
