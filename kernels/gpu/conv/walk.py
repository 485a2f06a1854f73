"""The launch of the walk form of the convolution: its block shapes, the operands it takes, grid and descriptor."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from sgi.kernels.gpu.conv.epilogue import Colours, Tail
from sgi.kernels.gpu.conv.rows import takes
from sgi.kernels.gpu.conv.walk_kernel import walk_kernel
from sgi.kernels.gpu.dispatch import interpreted, multiprocessors, precision, require
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.torgb.launch import finish

MIN_ROWS = 8
PROGRAMS_PER_PROCESSOR = 4


@dataclass(frozen=True)
class WalkConfig:
    """A program of `rows` image rows x `bm` pixels x `bn` columns, which reads all input channels at once.

    registers: whether products share rows of x in registers, for 16-bit operands.
    """

    bm: int
    bn: int
    rows: int
    warps: int
    stages: int
    registers: bool = True

    @property
    def label(self) -> str:
        where = "registers" if self.registers else "shared"
        return f"walk {self.bm}x{self.bn} rows {self.rows} w{self.warps} s{self.stages} {where}"


# 16-bit operands, for layers of as many input channels. Each compiles without spills, to-rgb included.
WALK_CONFIGS = {
    32: (
        WalkConfig(64, 32, 64, 4, 3),
        WalkConfig(128, 32, 64, 4, 3),
        WalkConfig(128, 32, 64, 8, 3),
        WalkConfig(64, 32, 64, 4, 3, registers=False),
    ),
    64: (
        WalkConfig(64, 64, 64, 4, 2),
        WalkConfig(128, 64, 64, 8, 3),
        WalkConfig(64, 32, 64, 4, 3),
        WalkConfig(64, 32, 64, 4, 2),
    ),
}


def walk_configs(x: Tensor, weight: Tensor, style: Tensor | None, n: int) -> list[WalkConfig]:
    """The block shapes for operands [NX, H, W, I] and [9, I, O], none if the form does not take them."""
    _, height, width, inputs = x.shape
    outputs = weight.shape[2]
    if x.element_size() != 2 or style is not None or not takes(x):
        return []
    listed = WALK_CONFIGS.get(triton.next_power_of_2(inputs), ())
    fitting = [c for c in listed if c.bn <= triton.next_power_of_2(outputs) and c.bm <= triton.next_power_of_2(width)]
    return [_fitted(c, height, _columns(c, width, outputs) * n, multiprocessors(x)) for c in fitting]


def _columns(config: WalkConfig, width: int, outputs: int) -> int:
    return triton.cdiv(outputs, config.bn) * triton.cdiv(width, config.bm)


def _fitted(config: WalkConfig, height: int, strips: int, processors: int) -> WalkConfig:
    """The config with as many rows as leave some programs for each multiprocessor."""
    rows = min(config.rows, triton.next_power_of_2(height))
    while rows > MIN_ROWS and strips * triton.cdiv(height, rows) < PROGRAMS_PER_PROCESSOR * processors:
        rows //= 2
    return replace(config, rows=rows)


def walk_conv(
    x: Tensor, weight: Tensor, n: int, e: Epilogue, rgb: RgbTail | None, write: bool, block: WalkConfig
) -> tuple[Tensor | None, Tensor | None]:
    """`conv` of an x that is already multiplied by its style; operands are checked there."""
    require(takes(x), "the walk form needs channels whose rows are multiples of 16 bytes")
    images, height, width, inputs = x.shape
    outputs = weight.shape[2]
    column_blocks = triton.cdiv(outputs, block.bn)
    y = torch.empty(n, height, width, outputs, device=x.device, dtype=x.dtype) if write else None
    channels = 0 if rgb is None else rgb.weight.shape[0]
    parts = None
    if rgb is not None:
        parts = torch.empty(column_blocks, n, channels, height, width, device=x.device, dtype=torch.float32)
    depth = max(16, triton.next_power_of_2(inputs))
    walk_kernel[(n * triton.cdiv(height, block.rows) * _columns(block, width, outputs),)](
        TensorDescriptor.from_tensor(x, [1, 1, block.bm, depth]), weight, y, Tail.of(e),
        None if rgb is None else Colours.of(rgb, parts), n, images,
        CI=inputs, CO=outputs, H=height, W=width, C=channels, ACT=e.act, PRECISION=precision(x.dtype),
        UPCAST=interpreted() and x.dtype == torch.bfloat16,
        REGISTERS=block.registers and x.element_size() == 2 and not interpreted(),
        ROWS=block.rows, BM=block.bm, BN=block.bn, BK=depth, num_warps=block.warps, num_stages=block.stages,
    )  # fmt: skip
    if parts is None or rgb is None:
        return y, None
    return y, parts[0] if column_blocks == 1 else finish(parts, rgb)
