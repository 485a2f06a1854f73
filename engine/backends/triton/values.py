"""Values of a type from the network's raw picture, on the device: `intrinsics.decode` on torch tensors."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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
        weight, bias = _scores(colours.tobytes(), u.dtype, u.device)
        # A matrix product, because torch rounds the operands of float32 convolutions to TF32 on a GPU.
        found = (weight @ u.flatten(2) + bias).argmax(1, keepdim=True)
        return found.view(-1, 1, *u.shape[2:]).to(u.dtype)


@lru_cache
def _scores(colours: bytes, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """`palette.scores` of colours [K, 3] float64: weight [K, 3] and bias [K, 1].

    They are kept on the device, because a graph can contain no copy from the host.
    """
    weight, bias = scores(np.frombuffer(colours).reshape(-1, 3))
    with torch.inference_mode(False):
        return torch.tensor(weight, dtype=dtype, device=device), torch.tensor(bias, dtype=dtype, device=device)[:, None]


def values(raw: Tensor, intrinsic: Intrinsic) -> Tensor:
    """Values [N, channels, R, R] float32 of a raw picture [N, C, R, R]; one channel is the mean over C."""
    if intrinsic.code_channels == 1:
        raw = raw.mean(1, keepdim=True)
    u = (raw * 0.5 + 0.5).clamp(0.0, 1.0)
    return decode_with(intrinsic, u, TorchOperations())
