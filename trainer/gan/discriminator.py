"""Residual StyleGAN2 discriminator with equalised learning rate, fast in bfloat16.

Parameters are float32 and are cast where they are used. The gains sqrt(2) and 1/sqrt(2) are multiplied into the
weights instead of the activations, because leaky ReLU commutes with a positive factor.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2


class EqualConv2d(nn.Module):
    """Convolution of odd size whose weights are N(0, 1), scaled by 1/sqrt(fan-in) at run time."""

    def __init__(self, inputs: int, outputs: int, size: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * size * size)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Return `gain * (conv(x) + bias)` in the dtype of `x: [N, C, H, W]`."""
        weight = (self.weight * (self.scale * gain)).to(x.dtype, memory_format=torch.channels_last)
        bias = None if self.bias is None else (self.bias * gain).to(x.dtype)
        return functional.conv2d(x, weight, bias, padding=self.weight.shape[-1] // 2)


class EqualLinear(nn.Module):
    """Fully connected layer with weights N(0, 1), scaled by 1/sqrt(fan-in) at run time."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x @ weight.T + bias` for `x: [N, inputs] float32`."""
        return functional.linear(x, self.weight * self.scale, self.bias)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a 1x1 skip connection; halves the resolution.

    Features are averaged 2x2 before the second convolution, which reduces its cost to a quarter.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv0 = EqualConv2d(inputs, inputs, 3)
        self.conv1 = EqualConv2d(inputs, outputs, 3)
        self.skip = EqualConv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x: [N, inputs, H, W]` to `[N, outputs, H/2, W/2]`, same dtype."""
        skip = self.skip(functional.avg_pool2d(x, 2), math.sqrt(0.5))
        y = functional.leaky_relu_(self.conv0(x, math.sqrt(2)), SLOPE)
        y = functional.leaky_relu_(self.conv1(functional.avg_pool2d(y, 2)), SLOPE)
        return skip.add_(y)


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Append one channel with the mean standard deviation within groups of consecutive images.

    x: [N, C, H, W] float32, N a multiple of `group`; result [N, C + 1, H, W]. Groups are consecutive so that
    one pass can contain real and fake images without a group of both (Karras et al. 2018, section 3).
    """
    grouped = x.reshape(-1, group, *x.shape[1:])
    deviation = (grouped.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    deviation = deviation.repeat_interleave(group).reshape(-1, 1, 1, 1)
    return torch.cat([x, deviation.expand(-1, 1, *x.shape[2:])], dim=1)


class Discriminator(nn.Module):
    """StyleGAN2 discriminator, residual (Karras et al. 2020, section 4.1), without labels."""

    def __init__(self, resolution: int, channel_base: int, channel_max: int, group: int = 4) -> None:
        super().__init__()
        self.group = group
        sides = [2**i for i in range(int(math.log2(resolution)), 2, -1)]
        channels = [min(channel_base // side, channel_max) for side in [*sides, 4]]
        self.from_rgb = EqualConv2d(3, channels[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(a, b) for a, b in itertools.pairwise(channels))
        self.conv = EqualConv2d(channels[-1] + 1, channels[-1], 3)
        self.dense = EqualLinear(channels[-1] * 16, channels[-1])
        self.out = EqualLinear(channels[-1], 1)

    def forward(self, image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return logits `[N] float32` of `image: [N, 3, R, R]` in [-1, 1].

        dtype: compute dtype of all but the last block. N must be a multiple of the minibatch-std group.
        """
        x = image.to(dtype, memory_format=torch.channels_last)
        x = functional.leaky_relu_(self.from_rgb(x, math.sqrt(2)), SLOPE)
        for block in self.blocks:
            x = block(x)
        x = minibatch_std(x.float(), self.group)
        x = functional.leaky_relu_(self.conv(x, math.sqrt(2)), SLOPE)
        x = functional.leaky_relu(self.dense(x.flatten(1)), SLOPE) * math.sqrt(2)
        return self.out(x).squeeze(1)
