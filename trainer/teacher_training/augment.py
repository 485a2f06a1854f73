"""What training does to the pictures, so that a teacher of clean renders holds up on generated ones.

A generator's pictures are softer than renders, ring at edges and carry small errors of colour; the maps stay
those of the clean room. Mirroring applies to picture and maps alike. Colours are left alone: albedo and shading
are read off them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 7
SIGMA = (0.5, 1.5)
"""Standard deviation in pixels of the blur, drawn evenly."""
AMOUNT = (-1.0, 0.6)
"""What is added of the difference to the blurred picture, drawn evenly: -1 is the blur, above 0 sharpens and rings."""
NOISE = 0.04
"""Largest standard deviation of the noise; that of each picture is drawn evenly below it."""
COARSE = 8
"""Side in pixels of a cell of the coarse noise, which is interpolated to patches of slightly wrong colour."""


def degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    """Soften or sharpen each picture and add noise, or, one time in four, neither.

    image: [N, 3, H, W] float32 in [0, 1]; so is the result. generator: a CPU one; the draws depend on it alone.
    """
    count, channels, height, width = image.shape
    draws = torch.rand(count, 5, generator=generator)
    fine = torch.randn(image.shape, generator=generator)
    cells = (count, channels, -(-height // COARSE) + 1, -(-width // COARSE) + 1)
    coarse = F.interpolate(torch.randn(cells, generator=generator), (height, width), mode="bilinear")

    per_picture = draws.to(image.device)[:, :, None, None, None]  # [N, 5, 1, 1, 1]
    sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * draws[:, 0]
    amount = AMOUNT[0] + (AMOUNT[1] - AMOUNT[0]) * per_picture[:, 1]
    changed = image + amount * (image - blur(image, sigma))
    changed = changed + NOISE * per_picture[:, 2] * fine.to(image.device)
    changed = changed + NOISE * per_picture[:, 3] * coarse.to(image.device)
    return torch.where(per_picture[:, 4] < 0.25, image, changed.clamp(0, 1))


def blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of each picture [N, C, H, W] with its own standard deviation, sigma [N] in pixels."""
    count, channels, height, width = image.shape
    offsets = torch.arange(TAPS, dtype=torch.float32) - TAPS // 2
    taps = torch.exp(-0.5 * (offsets / sigma[:, None].cpu()).square())
    taps = (taps / taps.sum(1, keepdim=True)).to(image)
    # One group per picture and channel: each has its own kernel.
    kernel = taps.repeat_interleave(channels, 0)[:, None, None, :]  # [N * C, 1, 1, TAPS]
    x = F.pad(image, (TAPS // 2,) * 4, mode="replicate").reshape(1, count * channels, height + TAPS - 1, -1)
    x = F.conv2d(F.conv2d(x, kernel, groups=count * channels), kernel.mT, groups=count * channels)
    return x.reshape(count, channels, height, width)
