"""Codes of maps on the device: `sgi.engine.codes` by comparisons with the least values of all codes."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from sgi.engine.codes import steps
from sgi.engine.intrinsics import Intrinsic
from sgi.kernels.gpu import map_codes


def device_codes(value: Tensor, kind: Intrinsic) -> Tensor:
    """Codes [N, H, W, C] of values [N, C, H, W] float32, equal to those of the same values on the host to the bit.

    `kind` must have steps (`sgi.engine.codes.steps`).
    """
    least, sign = _steps(kind, value.device)
    return map_codes(value, least, sign, kind.png_bits)


@lru_cache
def _steps(kind: Intrinsic, device: torch.device) -> tuple[Tensor, int]:
    """Least values and sign, kept on the device, because a graph can contain no copy from the host."""
    found = steps(kind)
    if found is None:
        raise ValueError(f"type {kind.name}: its codes are no steps of its values")
    with torch.inference_mode(False):
        return torch.from_numpy(found.least).to(device), found.sign
