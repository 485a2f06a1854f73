"""Triton kernels of StyleGAN2's synthesis network as torch operators.

Each operation has a folder with the files `kernel` (the Triton code), `launch` (shape checks, grid), `ops` (the
operator with its gradient), `fused` (variants for inference) and `reference` (the definition in plain torch).
"""

from sgi.kernels.gpu.codes.ops import map_codes
from sgi.kernels.gpu.conv.fused import fused_conv
from sgi.kernels.gpu.conv.ops import modulated_conv
from sgi.kernels.gpu.packed_weights import PackedConv, pack_conv
from sgi.kernels.gpu.torgb.apply_styles import apply_styles
from sgi.kernels.gpu.torgb.ops import to_rgb
from sgi.kernels.gpu.upconv.fused import fused_up_conv
from sgi.kernels.gpu.upconv.ops import up_conv

__all__ = [
    "PackedConv",
    "apply_styles",
    "fused_conv",
    "fused_up_conv",
    "map_codes",
    "modulated_conv",
    "pack_conv",
    "to_rgb",
    "up_conv",
]
