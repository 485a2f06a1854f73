"""Values of a type from the network's raw picture, on the device: the torch twin of `intrinsics.decode`."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.engine.intrinsics import UNIT_EPS, Intrinsic


def values(raw: Tensor, intrinsic: Intrinsic) -> Tensor:
    """Values [N, channels, R, R] float32 of a raw picture [N, 3, R, R]; one channel is the mean over RGB."""
    if intrinsic.channels == 1:
        raw = raw.mean(1, keepdim=True)
    u = (raw * 0.5 + 0.5).clamp(0.0, 1.0)
    if intrinsic.decoding == "identity":
        return u
    if intrinsic.decoding == "inverse":
        return 1.0 - u
    if intrinsic.decoding == "unit":
        normal = 2.0 * u - 1.0
        return normal * (normal.square().sum(1, keepdim=True) + UNIT_EPS).rsqrt()
    linear = torch.where(u <= 0.04045, u / 12.92, ((u.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    return linear * intrinsic.high
