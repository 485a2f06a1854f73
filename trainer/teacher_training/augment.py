"""Augmentation of rendered pictures, so that a teacher trained on them also works on generated pictures.

Generated pictures are softer than renders, have ringing at edges and small errors of colour. The maps stay those of
the clean room. Colours are not changed otherwise, because albedo and shading depend on them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 7
SIGMA = (0.5, 1.5)
"""Range of the standard deviation of the blur in pixels, sampled uniformly."""
AMOUNT = (-1.0, 0.6)
"""Range of the factor a in picture + a * (picture - blurred), sampled uniformly: -1 blurs, above 0 sharpens."""
NOISE = 0.04
"""Maximal standard deviation of the noise; that of each picture is sampled uniformly from 0 to it."""
COARSE = 8
"""Side in pixels of a cell of the coarse noise, which is interpolated: smooth errors of colour."""


def degrade(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur or sharpen each picture and add noise; leave a quarter of the pictures unchanged.

    image: [N, 3, H, W] float32 in [0, 1], like the result. generator: on the CPU.
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
    # One group per picture and channel, each with its own kernel.
    kernel = taps.repeat_interleave(channels, 0)[:, None, None, :]  # [N * C, 1, 1, TAPS]
    x = F.pad(image, (TAPS // 2,) * 4, mode="replicate").reshape(1, count * channels, height + TAPS - 1, -1)
    x = F.conv2d(F.conv2d(x, kernel, groups=count * channels), kernel.mT, groups=count * channels)
    return x.reshape(count, channels, height, width)
