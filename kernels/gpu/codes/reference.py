"""Codes of values in plain torch: the definition that the kernel is tested against."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {8: torch.uint8, 16: torch.uint16}


def map_codes(x: Tensor, least: Tensor, sign: int, bits: int) -> Tensor:
    """See `sgi.kernels.gpu.codes.ops.map_codes`."""
    found = torch.searchsorted(least, (sign * x).permute(0, 2, 3, 1).contiguous(), right=True)
    return found.to(DTYPES[bits])
