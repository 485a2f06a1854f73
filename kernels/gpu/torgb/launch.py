"""Launches of the to-rgb kernels: shape checks and grids."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu.dispatch import dependent_options, require
from sgi.kernels.gpu.operands import RgbTail, check_vectors, row_stride
from sgi.kernels.gpu.torgb.kernel import apply_styles_kernel, finish_kernel, torgb_gradient_kernel, torgb_kernel

BLOCK_ELEMENTS = 8192
APPLY_ELEMENTS = 2048
GRADIENT_CHUNK = 256


def torgb(x: Tensor, tail: RgbTail) -> Tensor:
    """The picture [N, C, H, W] float32 of x [NX, H, W, I], image i reading x[i % NX]."""
    n = tail.style.shape[0]
    nx, height, width, inputs = x.shape
    tail.check(n, height, width, inputs)
    require(x.is_contiguous() and n % nx == 0, "x: expected contiguous [NX, H, W, I] with NX dividing N")
    channels = tail.weight.shape[0]
    img = torch.empty(n, channels, height, width, device=x.device, dtype=torch.float32)
    bi = triton.next_power_of_2(inputs)
    bm = max(1, BLOCK_ELEMENTS // bi)
    torgb_kernel[(triton.cdiv(n * height * width, bm),)](
        x, tail.style, tail.weight, tail.bias, tail.below, img,
        n, nx, 1 if tail.below is None else tail.below.shape[0], tail.style.stride(0), tail.clamp or 0.0,
        CI=inputs, H=height, W=width, C=channels, HAS_BELOW=tail.below is not None, HAS_CLAMP=tail.clamp is not None,
        BM=bm, BI=bi, num_warps=4,
    )  # fmt: skip
    return img


def apply_styles(x: Tensor, next_style: Tensor, tail: RgbTail | None = None) -> tuple[Tensor, Tensor | None]:
    """y [N, H, W, I] of x [NX, H, W, I] and next_style [N, I], and the picture [N, C, H, W] float32 of `tail`."""
    n = next_style.shape[0]
    nx, height, width, inputs = x.shape
    require(x.is_contiguous() and n % nx == 0, "x: expected contiguous [NX, H, W, I] with NX dividing N")
    check_vectors("next_style", next_style, n, inputs)
    if tail is not None:
        tail.check(n, height, width, inputs)
    channels = 0 if tail is None else tail.weight.shape[0]
    y = torch.empty(n, height, width, inputs, device=x.device, dtype=x.dtype)
    img = None if tail is None else torch.empty(n, channels, height, width, device=x.device, dtype=torch.float32)
    bi = triton.next_power_of_2(inputs)
    bm = max(1, APPLY_ELEMENTS // bi)
    apply_styles_kernel[(triton.cdiv(nx * height * width, bm),)](
        x, y, next_style, *((None,) * 4 if tail is None else (tail.style, tail.weight, tail.bias, tail.below)), img,
        n // nx, nx, 1 if tail is None or tail.below is None else tail.below.shape[0],
        row_stride(next_style), row_stride(None if tail is None else tail.style),
        0.0 if tail is None else tail.clamp or 0.0,
        CI=inputs, H=height, W=width, C=channels, HAS_RGB=tail is not None,
        HAS_BELOW=tail is not None and tail.below is not None, HAS_CLAMP=tail is not None and tail.clamp is not None,
        BM=bm, BI=bi, num_warps=4, **dependent_options(x),
    )  # fmt: skip
    return y, img


def finish(parts: Tensor, tail: RgbTail) -> Tensor:
    """The picture [N, C, H, W] float32 of a convolution's partial sums of colours [parts, N, C, H, W] float32."""
    count, n, channels, height, width = parts.shape
    img = torch.empty_like(parts[0])
    finish_kernel[(triton.cdiv(img.numel(), 1024),)](
        parts, tail.bias, tail.below, img, n, 1 if tail.below is None else tail.below.shape[0], tail.clamp or 0.0,
        PARTS=count, H=height, W=width, C=channels, HAS_BELOW=tail.below is not None,
        HAS_CLAMP=tail.clamp is not None, BM=1024, num_warps=4,
    )  # fmt: skip
    return img


def torgb_gradient(d: Tensor, x: Tensor, style: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x [NX, H, W, I] and style [N, I] from that of the unclamped colours d [N, C, H, W] float32."""
    nx, height, width, inputs = x.shape
    n, channels = d.shape[:2]
    chunks = triton.cdiv(height * width, GRADIENT_CHUNK)
    block = min(64, triton.next_power_of_2(inputs))
    dx = torch.empty(n, height, width, inputs, device=x.device, dtype=x.dtype)
    ds = torch.empty(n, chunks, inputs, device=x.device, dtype=torch.float32)
    torgb_gradient_kernel[(chunks, n, triton.cdiv(inputs, block))](
        d, x, style, weight, dx, ds, nx, style.stride(0), CI=inputs, H=height, W=width, C=channels,
        CHUNK=GRADIENT_CHUNK, BM=32, BI=block, num_warps=4,
    )  # fmt: skip
    if nx != n:
        dx = dx.view(-1, *x.shape).sum(0)
    return dx, ds.sum(1)
