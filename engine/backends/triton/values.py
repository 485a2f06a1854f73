"""Values of a type from the network's raw picture, on the device: `intrinsics.decode` on torch tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sgi.engine.intrinsics import Intrinsic, decode_with
from sgi.engine.palette import scores


class TorchOperations:
    """`sgi.engine.decoding.Operations` on torch tensors [N, C, H, W]."""

    def maximum(self, x: Tensor, low: float) -> Tensor:
        """See `Operations`."""
        return x.clamp_min(low)

    def where(self, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """See `Operations`."""
        return torch.where(condition, x, y)

    def channel_sum(self, x: Tensor) -> Tensor:
        """See `Operations`."""
        return x.sum(-3, keepdim=True)

    def sqrt(self, x: Tensor) -> Tensor:
        """See `Operations`."""
        return x.sqrt()

    def nearest(self, u: Tensor, colours: NDArray[np.float64]) -> Tensor:
        """See `Operations`."""
        weight, bias = (torch.tensor(a, dtype=u.dtype, device=u.device) for a in scores(colours))
        return F.conv2d(u, weight[:, :, None, None], bias).argmax(1, keepdim=True).to(u.dtype)


def values(raw: Tensor, intrinsic: Intrinsic) -> Tensor:
    """Values [N, channels, R, R] float32 of a raw picture [N, C, R, R]; one channel is the mean over C."""
    if intrinsic.code_channels == 1:
        raw = raw.mean(1, keepdim=True)
    u = (raw * 0.5 + 0.5).clamp(0.0, 1.0)
    return decode_with(intrinsic, u, TorchOperations())
