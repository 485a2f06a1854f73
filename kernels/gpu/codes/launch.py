"""Launches of the kernel of codes: shape checks and grid."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu.codes.kernel import codes_kernel
from sgi.kernels.gpu.codes.reference import DTYPES
from sgi.kernels.gpu.dispatch import require

BLOCK = 1024


def launch_codes(x: Tensor, least: Tensor, sign: int, bits: int) -> Tensor:
    """Codes [N, H, W, C] of values x [N, C, H, W] float32."""
    require(x.is_contiguous() and x.dtype == torch.float32, "x: expected contiguous [N, C, H, W] float32")
    require(least.is_contiguous() and least.dtype == torch.float32, "least: expected contiguous [K] float32")
    require(len(least) < 1 << bits, f"least: {len(least)} values are too many for codes of {bits} bits")
    n, channels, height, width = x.shape
    codes = torch.empty(n, height, width, channels, device=x.device, dtype=DTYPES[bits])
    pixels = height * width
    codes_kernel[(n, triton.cdiv(pixels * channels, BLOCK))](
        x, least, codes, pixels, len(least), float(sign), C=channels, BITS=len(least).bit_length(), BLOCK=BLOCK,
        num_warps=4,
    )  # fmt: skip
    return codes
