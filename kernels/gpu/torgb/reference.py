"""To-rgb and the skip path in plain torch: the definition that the kernels are tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.kernels.gpu.conv.reference import accumulator, modulated, spread
from sgi.kernels.gpu.packed_weights import fir_taps


def _kernel(img: Tensor) -> Tensor:
    return fir_taps(img).expand(img.shape[1], 1, 4, 4)


def upsample(img: Tensor) -> Tensor:
    """Zero insertion and the filter of gain 4: [N, C, 2 H, 2 W] of img [N, C, H, W]."""
    return F.conv_transpose2d(img, _kernel(img), stride=2, padding=1, groups=img.shape[1])


def to_rgb(x: Tensor, style: Tensor, weight: Tensor, bias: Tensor, below: Tensor | None, clamp: float | None) -> Tensor:
    """See `sgi.kernels.gpu.torgb.ops.to_rgb`."""
    n = style.shape[0]
    wide = modulated(x.to(accumulator(x)), style, n)
    rgb = torch.einsum("nhwi,ci->nchw", wide, weight).contiguous() + bias[:, None, None]
    if clamp is not None:
        rgb = rgb.clamp(-clamp, clamp)
    return rgb if below is None else rgb + spread(upsample(below), n)


def upsample_gradient(d: Tensor) -> Tensor:
    """Adjoint of `upsample`: [N, C, H, W] of d [N, C, 2 H, 2 W]."""
    return F.conv2d(d, _kernel(d), stride=2, padding=1, groups=d.shape[1])


def gradient(d: Tensor, x: Tensor, style: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of x [NX, H, W, I] and style [N, I] from that of the unclamped colours d [N, C, H, W]."""
    g = torch.einsum("nchw,ci->nhwi", d, weight)
    dx = (g * style[:, None, None, :]).view(-1, *x.shape).sum(0)
    return dx.to(x.dtype), (g * spread(x.to(g.dtype), d.shape[0])).sum((1, 2))
