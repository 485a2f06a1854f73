"""The sRGB transfer curves (IEC 61966-2-1) in torch. Their NumPy versions are in `sgi.engine.intrinsics`."""

from __future__ import annotations

import torch
from torch import Tensor


def srgb_encode(linear: Tensor) -> Tensor:
    """Linear light in [0, 1] to sRGB codes in [0, 1]; any shape, float32 (IEC 61966-2-1)."""
    linear = linear.clamp(0.0, 1.0)
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.pow(1.0 / 2.4) - 0.055)


def srgb_decode(code: Tensor) -> Tensor:
    """sRGB codes in [0, 1] to linear light in [0, 1]; any shape, float32 (IEC 61966-2-1)."""
    code = code.clamp(0.0, 1.0)
    return torch.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055).pow(2.4))
