"""Weights as the kernels read them: normalised, transposed and rounded once, when a network is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FIR = (0.25, 0.75, 0.75, 0.25)  # [1, 3, 3, 1] of gain 2 an axis


def fir_kernel(like: Tensor) -> Tensor:
    """The filter of gain 4, [4, 4] in the type of `like` and on its device."""
    # Made on the device: a CUDA graph cannot hold a copy from the host.
    taps = torch.stack([torch.full((), tap, dtype=like.dtype, device=like.device) for tap in FIR])
    return torch.outer(taps, taps)


@dataclass(frozen=True)
class PackedConv:
    """A 3x3 convolution's weight.

    taps: [9, I, O]; six: [9, I, 4 * O], the four 3x3 phases of the up-convolution with its filter folded in (None
    for plain layers). Both have unit energy per output channel, so sums in float16 stay near the size of the input.
    norm: [O] float32, stored weight = packed * norm. energy: [I, O] float32, sum over taps of packed squared.
    """

    taps: Tensor
    norm: Tensor
    energy: Tensor
    six: Tensor | None = None

    @property
    def inputs(self) -> int:
        return self.taps.shape[1]

    @property
    def outputs(self) -> int:
        return self.taps.shape[2]


def pack_conv(weight: Tensor, dtype: torch.dtype, up: bool = False) -> PackedConv:
    """Pack weight [O, I, 3, 3] for the kernels; `up` adds the four-phase form."""
    outputs, inputs, _, _ = weight.shape
    wide = weight.detach().double()
    norm = wide.square().sum((1, 2, 3)).sqrt().clamp_min(1e-20)
    wide = wide / norm[:, None, None, None]
    six = None
    if up:
        six = phase_weights(wide).to(dtype).contiguous()
    return PackedConv(
        taps=wide.permute(2, 3, 1, 0).reshape(9, inputs, outputs).to(dtype).contiguous(),
        norm=norm.float(),
        energy=wide.square().sum((2, 3)).T.float().contiguous(),
        six=six,
    )


def phase_weights(weight: Tensor) -> Tensor:
    """The up-convolution with its filter as four 3x3 convolutions at the low resolution.

    weight: [O, I, 3, 3] -> [9, I, 4 * O], columns (a, b, o) for the output pixel (2 y + a, 2 x + b). Filtering
    after a transposed convolution is one transposed convolution with the 6x6 kernel K = weight * FIR, and
    out[2 y + a] = sum over u of K[a + 4 - 2 u] x[y + u - 1].
    """
    outputs, inputs, _, _ = weight.shape
    kernel = fir_kernel(weight)[None, None]
    six = torch.nn.functional.conv2d(weight.reshape(-1, 1, 3, 3), kernel, padding=3).view(outputs, inputs, 6, 6)
    phases = [six[:, :, a::2, b::2].flip(2, 3) for a in (0, 1) for b in (0, 1)]  # each [O, I, 3, 3]
    return torch.stack(phases).permute(3, 4, 2, 0, 1).reshape(9, inputs, 4 * outputs)
