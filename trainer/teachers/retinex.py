"""Colour Retinex: albedo and shading told apart by their gradients, in closed form.

An edge of the paint is sharp or changes the colour; everything else is light. After Land and McCann (JOSA 1971)
and Horn (1974), with the colour test of Grosse et al., "Ground truth dataset and baseline evaluations for intrinsic
image algorithms", ICCV 2009.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sgi.trainer.scenes.colour import srgb_decode
from sgi.trainer.teachers.colour import luminance, white_patch

# By the error on 48 rendered rooms: 0.099 in codes of albedo, where the picture itself has 0.151. The colour's
# threshold makes no difference there.
GRAY_THRESHOLD = 0.075
COLOUR_THRESHOLD = 0.1
FLOOR = 2e-3
"""Added to linear light before its logarithm: near black a step of an 8-bit code is no change of paint."""


def retinex(
    image: Tensor, gray_threshold: float = GRAY_THRESHOLD, colour_threshold: float = COLOUR_THRESHOLD
) -> tuple[Tensor, Tensor]:
    """Linear albedo [N, 3, H, W] and shading [N, 1, H, W] of pictures [N, 3, H, W] float32 sRGB in [0, 1].

    A step between neighbours is the albedo's where log luminance changes by more than `gray_threshold` or the log
    chromaticity, [N, 3], by more than `colour_threshold` in length. The albedo's scale is `white_patch`'s; albedo *
    shading is the picture in linear light, up to FLOOR.
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
    """The map of mean 0 whose steps are nearest to the given ones, in least squares.

    along_x: [..., H, W - 1], right neighbour minus left one; along_y: [..., H - 1, W], lower minus upper; the result
    is [..., H, W]. The normal equations are a Poisson equation with Neumann borders, which the cosine transform makes
    diagonal: here the Fourier transform of the map mirrored at its right and lower border.
    """
    pad = torch.nn.functional.pad
    divergence = pad(along_x, (0, 1)) - pad(along_x, (1, 0)) + pad(along_y, (0, 0, 0, 1)) - pad(along_y, (0, 0, 1, 0))
    height, width = divergence.shape[-2:]
    mirrored = torch.cat([divergence, divergence.flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored, mirrored.flip(-2)], dim=-2)
    eigenvalues = _second_difference(2 * height, divergence)[:, None] + _second_difference(2 * width, divergence)
    eigenvalues[0, 0] = 1  # the mean, which the steps leave free; its coefficient is 0
    spectrum = torch.fft.fft2(mirrored) / eigenvalues
    return torch.fft.ifft2(spectrum).real[..., :height, :width].to(divergence.dtype)


def _second_difference(size: int, like: Tensor) -> Tensor:
    """Eigenvalues [size] of x[k - 1] - 2 x[k] + x[k + 1] on a ring."""
    angle = torch.arange(size, device=like.device, dtype=like.dtype) * (2 * math.pi / size)
    return 2 * angle.cos() - 2
