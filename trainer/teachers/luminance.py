"""Luminance, and the scale of an albedo, which a decomposition into albedo and shading does not determine."""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R BT.709, whose primaries are those of sRGB.
LUMINANCE = (0.2126, 0.7152, 0.0722)
WHITE_ALBEDO = 0.9
WHITE_QUANTILE = 0.99
WHITE_PATCH = f"scaled so that the {WHITE_QUANTILE:.0%} quantile of a picture's albedo is {WHITE_ALBEDO}"


def luminance(colour: Tensor) -> Tensor:
    """BT.709 luminance [N, 1, H, W] of linear RGB [N, 3, H, W]; applied to sRGB codes it is luma."""
    weights = torch.tensor(LUMINANCE, device=colour.device, dtype=colour.dtype)
    return (colour * weights[:, None, None]).sum(dim=1, keepdim=True)


def white_patch(albedo: Tensor) -> Tensor:
    """Factor [N, 1, 1, 1] that scales an albedo [N, 3, H, W] of unknown scale as `WHITE_PATCH` describes.

    The brightest surface is assumed to be white, as in Retinex (Land and McCann, JOSA 1971). The quantile is over
    pixels and channels together.
    """
    bright = torch.quantile(albedo.flatten(1), WHITE_QUANTILE, dim=1)
    return (WHITE_ALBEDO / bright.clamp_min(1e-6))[:, None, None, None]
