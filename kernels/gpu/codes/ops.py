"""Codes of values as a torch operator, for inference."""

from __future__ import annotations

from torch import Tensor

from sgi.kernels.gpu.codes import reference
from sgi.kernels.gpu.register import register_op


def _fake(x: Tensor, least: Tensor, sign: int, bits: int) -> Tensor:
    n, channels, height, width = x.shape
    return x.new_empty(n, height, width, channels, dtype=reference.DTYPES[bits])


@register_op(reference=reference.map_codes, fake=_fake)
def map_codes(x: Tensor, least: Tensor, sign: int, bits: int) -> Tensor:
    """Codes of values: the number of elements of `least` that are at most `sign` times the value.

    x: [N, C, H, W] float32, finite. least: [K] float32, ascending, K below 2^bits. sign: 1 or -1. bits: 8 or 16.
    Returns [N, H, W, C], uint8 or uint16. `sgi.engine.codes.steps` gives least and sign of a type.
    """
    from sgi.kernels.gpu.codes.launch import launch_codes

    return launch_codes(x.contiguous(), least, sign, bits)
