"""Weights in the layout of the kernels: normalised, transposed and rounded, once, when a network is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FIR = (0.25, 0.75, 0.75, 0.25)  # [1, 3, 3, 1] with a gain of 2 along each axis


def fir_taps(like: Tensor) -> Tensor:
    """The low-pass filter of gain 4, [4, 4], of the type and on the device of `like`."""
    # Created on the device: a CUDA graph cannot contain a copy from the host.
    taps = torch.stack([torch.full((), tap, dtype=like.dtype, device=like.device) for tap in FIR])
    return torch.outer(taps, taps)


@dataclass(frozen=True)
class PackedConv:
    """A 3x3 convolution's weight.

    taps: [9, I, O] of the kernels' type, with unit energy per output channel, so that sums in float16 stay near the
    size of the input. norm: [O] float32; the generator's weight is taps * norm. energy: [I, O] float32, the sum over
    taps of taps squared. phase_weights: [9, I, 4 * O] of the kernels' type, taps with the upsampling filter folded in
    (`fold_upsampling_filter`), or None. pair_weights: [3, 4 * I, 2 * O] of the kernels' type, taps for two pixels at
    once (`pack_pairs`), or None.
    """

    taps: Tensor
    norm: Tensor
    energy: Tensor
    phase_weights: Tensor | None = None
    pair_weights: Tensor | None = None

    @property
    def inputs(self) -> int:
        return self.taps.shape[1]

    @property
    def outputs(self) -> int:
        return self.taps.shape[2]


def pack_conv(weight: Tensor, dtype: torch.dtype, up: bool = False, pairs: bool = False) -> PackedConv:
    """Pack weight [O, I, 3, 3] for the kernels in `dtype`; `up` adds the phase weights, `pairs` the pair weights."""
    outputs, inputs, _, _ = weight.shape
    wide = weight.detach().double()
    norm = wide.square().sum((1, 2, 3)).sqrt().clamp_min(1e-20)
    wide = wide / norm[:, None, None, None]
    taps = wide.permute(2, 3, 1, 0).reshape(9, inputs, outputs).to(dtype).contiguous()
    return PackedConv(
        taps=taps,
        norm=norm.float(),
        energy=wide.square().sum((2, 3)).T.float().contiguous(),
        phase_weights=fold_upsampling_filter(wide).to(dtype).contiguous() if up else None,
        pair_weights=pack_pairs(taps) if pairs else None,
    )


def pack_pairs(taps: Tensor) -> Tensor:
    """Pair weights [3, 4 * I, 2 * O] of taps [9, I, O]: the convolution of two neighbouring pixels at once.

    Pixel b of a pair, 0 or 1, reads pixels b to b + 2 of a window of four; the weight of the fourth is 0. Rows are
    ordered (row of the image, pixel of the window, i), columns (b, o).
    """
    _, inputs, outputs = taps.shape
    pairs = taps.new_zeros(3, 4, inputs, 2, outputs)
    for pixel in (0, 1):
        pairs[:, pixel : pixel + 3, :, pixel] = taps.view(3, 3, inputs, outputs)
    return pairs.view(3, 4 * inputs, 2 * outputs)


def fold_upsampling_filter(weight: Tensor) -> Tensor:
    """Phase weights [9, I, 4 * O] of weight [O, I, 3, 3]: the up-convolution as four 3x3 convolutions.

    A transposed convolution and the filter after it are one transposed convolution with the 6x6 kernel
    K = weight * FIR. Its output pixel (2 y + a, 2 x + b) is phase (a, b) at the low resolution:
    out[2 y + a] = sum over u of K[a + 4 - 2 u] x[y + u - 1]. Columns are ordered (a, b, o).
    """
    outputs, inputs, _, _ = weight.shape
    kernel = fir_taps(weight)[None, None]
    folded = torch.nn.functional.conv2d(weight.reshape(-1, 1, 3, 3), kernel, padding=3).view(outputs, inputs, 6, 6)
    phases = [folded[:, :, a::2, b::2].flip(2, 3) for a in (0, 1) for b in (0, 1)]  # each [O, I, 3, 3]
    return torch.stack(phases).permute(3, 4, 2, 0, 1).reshape(9, inputs, 4 * outputs)
