"""The launch of the rows form of the convolution: its block shapes, the operands it takes, grid and descriptors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from sgi.kernels.gpu.conv.epilogue import Colours, Tail
from sgi.kernels.gpu.conv.rows_kernel import ROWS_OF_BLOCK, rows_kernel
from sgi.kernels.gpu.dispatch import interpreted, precision, require
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.torgb.launch import finish

ROWS = ROWS_OF_BLOCK.value
DESCRIPTOR_BYTES = 16  # strides of a tensor descriptor, CUDA driver API, cuTensorMapEncodeTiled


@dataclass(frozen=True)
class RowsConfig:
    """A block of ROWS image rows x `bm` pixels x `bn` columns, `bk` input channels a step."""

    bm: int
    bn: int
    bk: int
    warps: int
    stages: int


# 16-bit operands; compiles without spills, to-rgb included. The fastest block of this form on an H100.
ROWS_CONFIG = RowsConfig(64, 64, 32, 4, 3)


def rows_configs(x: Tensor, weight: Tensor, style: Tensor | None) -> list[RowsConfig]:
    """The block shape for operands [NX, H, W, I] and [9, I, O], none if the form does not take them."""
    _, _, width, inputs = x.shape
    outputs = weight.shape[2]
    if x.element_size() != 2 or style is not None or not takes(x, weight):
        return []
    c = ROWS_CONFIG
    sides = ((c.bn, outputs), (c.bk, inputs), (c.bm, width))
    return [c] if all(side <= triton.next_power_of_2(size) for side, size in sides) else []


def takes(*operands: Tensor) -> bool:
    """Whether descriptors can address the operands, and are copies by hardware (compute capability 9.0)."""
    aligned = all(t.shape[-1] * t.element_size() % DESCRIPTOR_BYTES == 0 for t in operands)
    aligned = aligned and all(t.is_meta or t.data_ptr() % DESCRIPTOR_BYTES == 0 for t in operands)
    x = operands[0]
    return aligned and (not x.is_cuda or torch.cuda.get_device_capability(x.device)[0] >= 9)


def rows_conv(
    x: Tensor, weight: Tensor, n: int, e: Epilogue, rgb: RgbTail | None, write: bool, block: RowsConfig
) -> tuple[Tensor | None, Tensor | None]:
    """`conv` of an x that is already multiplied by its style; operands are checked there."""
    require(takes(x, weight), "the rows form needs channels whose rows are multiples of 16 bytes")
    images, height, width, inputs = x.shape
    outputs = weight.shape[2]
    column_blocks = triton.cdiv(outputs, block.bn)
    y = torch.empty(n, height, width, outputs, device=x.device, dtype=x.dtype) if write else None
    channels = 0 if rgb is None else rgb.weight.shape[0]
    parts = None
    if rgb is not None:
        parts = torch.empty(column_blocks, n, channels, height, width, device=x.device, dtype=torch.float32)
    grid = n * triton.cdiv(height, ROWS) * triton.cdiv(width, block.bm) * column_blocks
    rows_kernel[(grid,)](
        TensorDescriptor.from_tensor(x, [1, 1, block.bm, block.bk]),
        TensorDescriptor.from_tensor(weight.view(3, 3, inputs, outputs), [1, 1, block.bk, block.bn]),
        y, Tail.of(e), None if rgb is None else Colours.of(rgb, parts), n, images,
        CI=inputs, CO=outputs, H=height, W=width, C=channels, ACT=e.act, PRECISION=precision(x.dtype),
        UPCAST=interpreted() and x.dtype == torch.bfloat16,
        BM=block.bm, BN=block.bn, BK=block.bk, num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip
    if parts is None or rgb is None:
        return y, None
    return y, parts[0] if column_blocks == 1 else finish(parts, rgb)
