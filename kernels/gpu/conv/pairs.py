"""The launch of the pairs form of the convolution: its block shapes, the operands it takes, grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu.conv.epilogue import Colours, Tail
from sgi.kernels.gpu.conv.pairs_kernel import pairs_kernel
from sgi.kernels.gpu.dispatch import dependent_convolution, interpreted, precision, require
from sgi.kernels.gpu.operands import Epilogue, RgbTail


@dataclass(frozen=True)
class PairsConfig:
    """A block of `bm` pairs of pixels x all output channels, `bk` values of the window of four pixels a step."""

    bm: int
    bk: int
    warps: int
    stages: int


# For 16-bit operands; no GPU has measured them. The last one is for up to 32 channels: its sums of more do not fit the
# registers.
PAIRS_CONFIGS = (
    PairsConfig(256, 64, 8, 3),
    PairsConfig(256, 32, 8, 4),
    PairsConfig(128, 64, 4, 3),
    PairsConfig(256, 32, 4, 3),
)
MAX_SUMS = 128  # of a thread: 32-bit registers, of which a thread has 255


def block_columns(outputs: int) -> int:
    """Output channels of a block: all of them, and at least 16."""
    return max(16, triton.next_power_of_2(outputs))


def pairs_configs(x: Tensor, pair_weights: Tensor | None, style: Tensor | None) -> list[PairsConfig]:
    """The block shapes for x [NX, H, W, I] and packed weights, none if the form does not take them."""
    if pair_weights is None or style is not None or x.element_size() != 2:
        return []
    columns = 2 * block_columns(pair_weights.shape[2] // 2)
    window = triton.next_power_of_2(pair_weights.shape[1])
    return [c for c in PAIRS_CONFIGS if c.bk <= window and c.bm * columns <= MAX_SUMS * 32 * c.warps]


def pairs_conv(
    x: Tensor, pair_weights: Tensor, n: int, e: Epilogue, rgb: RgbTail | None, write: bool, block: PairsConfig
) -> tuple[Tensor | None, Tensor | None]:
    """`conv` of an x that is already multiplied by its style; pair_weights: [3, 4 * I, 2 * O] (`pack_pairs`).

    Raises ValueError if the shapes of x and pair_weights do not fit each other; `conv` checks the other operands.
    """
    images, height, width, inputs = x.shape
    fits = pair_weights.dtype == x.dtype and pair_weights.is_contiguous() and pair_weights.shape[:2] == (3, 4 * inputs)
    require(fits, f"pair weights {list(pair_weights.shape)}: expected contiguous [3, {4 * inputs}, 2 * O], {x.dtype}")
    outputs = pair_weights.shape[2] // 2
    y = torch.empty(n, height, width, outputs, device=x.device, dtype=x.dtype) if write else None
    channels = 0 if rgb is None else rgb.weight.shape[0]
    picture = None
    if rgb is not None:
        picture = torch.empty(1, n, channels, height, width, device=x.device, dtype=torch.float32)
    pairs_kernel[(triton.cdiv(n * height * ((width + 1) // 2), block.bm),)](
        x, pair_weights, y, Tail.of(e), None if rgb is None else Colours.of(rgb, picture), n, images,
        CI=inputs, CO=outputs, H=height, W=width, C=channels, ACT=e.act, PRECISION=precision(x.dtype),
        UPCAST=interpreted() and x.dtype == torch.bfloat16,
        BM=block.bm, BN=block_columns(outputs), BK=block.bk, num_warps=block.warps, num_stages=block.stages,
        **dependent_convolution(x),
    )  # fmt: skip
    return y, None if picture is None else picture[0]
