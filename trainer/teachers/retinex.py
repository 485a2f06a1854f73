"""Colour Retinex: a picture is separated into albedo and shading by its gradients, in closed form.

A gradient that is large or changes the colour is attributed to the albedo, every other one to the shading. After Land
and McCann (JOSA 1971) and Horn (1974), with the colour test of Grosse et al., "Ground truth dataset and baseline
evaluations for intrinsic image algorithms", ICCV 2009.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgi.trainer.scenes.srgb import srgb_decode
from sgi.trainer.teachers.luminance import luminance, white_patch

# Chosen by the error on rendered rooms. See docs/experiments.md, "Thresholds of Retinex".
GRAY_THRESHOLD = 0.075
COLOUR_THRESHOLD = 0.1
FLOOR = 2e-3
"""Added to linear light before its logarithm, so that a step of one 8-bit code near black is not an albedo edge."""


def retinex(
    image: Tensor, gray_threshold: float = GRAY_THRESHOLD, colour_threshold: float = COLOUR_THRESHOLD
) -> tuple[Tensor, Tensor]:
    """Linear albedo [N, 3, H, W] and shading [N, 1, H, W] of pictures [N, 3, H, W] float32 sRGB in [0, 1].

    A step between neighbours belongs to the albedo where log luminance changes by more than `gray_threshold` or the
    log chromaticity, a vector of 3, by more than `colour_threshold` in length. The albedo is scaled by `white_patch`;
    albedo * shading is the picture in linear light, up to FLOOR.
    """
    light = srgb_decode(image.clamp(0, 1)) + FLOOR
    gray = luminance(light)
    log_gray, log_chroma = gray.log(), (light / gray).log()
    steps = []
    for dim in (-1, -2):
        step = log_gray.diff(dim=dim)
        colour_step = log_chroma.diff(dim=dim).square().sum(dim=1, keepdim=True).sqrt()
        steps.append(step * ((step.abs() > gray_threshold) | (colour_step > colour_threshold)))
    log_reflectance = integrate(*steps)
    albedo = light / gray * log_reflectance.exp()
    scale = white_patch(albedo)
    return albedo * scale, gray / (log_reflectance.exp() * scale)


def integrate(along_x: Tensor, along_y: Tensor) -> Tensor:
    """The map of mean 0 whose steps are nearest to the given ones in the least-squares sense.

    along_x: [..., H, W - 1], right neighbour minus left one; along_y: [..., H - 1, W], lower minus upper; the result
    is [..., H, W]. The normal equations are a Poisson equation with Neumann borders. The cosine transform diagonalises
    it; it is computed as the Fourier transform of the map mirrored at its right and lower border.
    """
    pad = torch.nn.functional.pad
    divergence = pad(along_x, (0, 1)) - pad(along_x, (1, 0)) + pad(along_y, (0, 0, 0, 1)) - pad(along_y, (0, 0, 1, 0))
    height, width = divergence.shape[-2:]
    mirrored = torch.cat([divergence, divergence.flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)
    eigenvalues = _second_difference(2 * height, divergence)[:, None] + _second_difference(2 * width, divergence)
    eigenvalues[0, 0] = 1  # the mean, which the steps do not determine; its coefficient is 0
    spectrum = torch.fft.fft2(mirrored) / eigenvalues
    return torch.fft.ifft2(spectrum).real[..., :height, :width].to(divergence.dtype)


def _second_difference(size: int, like: Tensor) -> Tensor:
    """Eigenvalues [size] of x[k - 1] - 2 x[k] + x[k + 1] on a ring."""
    angle = torch.arange(size, device=like.device, dtype=like.dtype) * (2 * math.pi / size)
    return 2 * angle.cos() - 2
