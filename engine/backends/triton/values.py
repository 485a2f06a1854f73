"""Values of a type from the network's raw picture, on the device: the torch twin of `intrinsics.decode`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.intrinsics import UNIT_EPS, Intrinsic, colours
from sgi.engine.palette import scores


def values(raw: Tensor, intrinsic: Intrinsic) -> Tensor:
    """Values [N, channels, R, R] float32 of a raw picture [N, 3, R, R]; one channel is the mean over RGB."""
    if intrinsic.code_channels == 1:
        raw = raw.mean(1, keepdim=True)
    u = (raw * 0.5 + 0.5).clamp(0.0, 1.0)
    if intrinsic.decoding == "palette":
        weight, bias = (torch.tensor(a, dtype=u.dtype, device=u.device) for a in scores(colours(intrinsic)))
        return F.conv2d(u, weight[:, :, None, None], bias).argmax(1, keepdim=True).to(u.dtype)
    if intrinsic.decoding == "unit":
        normal = 2.0 * u - 1.0
        return normal * (normal.square().sum(1, keepdim=True) + UNIT_EPS).rsqrt()
    share = u
    if intrinsic.decoding == "inverse":
        share = 1.0 - u
    elif intrinsic.decoding == "linear":
        share = torch.where(u <= 0.04045, u / 12.92, ((u.clamp_min(0.04045) + 0.055) / 1.055) ** 2.4)
    return share * (intrinsic.high - intrinsic.low) + intrinsic.low
