"""The launch of the up-convolution's fused form: which layers it takes, block shapes, grid."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.rows import takes
from sgi.kernels.gpu.dispatch import interpreted, multiprocessors, precision, require
from sgi.kernels.gpu.operands import Epilogue, check_images, check_vectors, row_stride
from sgi.kernels.gpu.upconv.fused_kernel import fused_up_conv_kernel


class FusedConfig(NamedTuple):
    """A program of the fused form: `bw` columns and `rows` rows of x, `bn` of 2 * O columns (parity, channel).

    registers: whether rows of x come through a descriptor, and products share them in registers if they are 16-bit.
    """

    bw: int
    bn: int
    rows: int
    warps: int
    stages: int
    registers: bool = False

    @property
    def label(self) -> str:
        where = " registers" if self.registers else ""
        return f"{self.bw}x{self.bn} rows {self.rows} w{self.warps} s{self.stages}{where}"


# Programs with more rows repeat fewer rows of their neighbours above. (64, 64) reads x half as often as the others; its
# sums fit the registers only where the matrix instructions read both operands from shared memory (Hopper).
# The fastest on an H100 first: (64, 64) with 64 inputs, (128, 32) with 128.
HALF_CONFIGS = (
    FusedConfig(64, 64, 64, 4, 1),
    FusedConfig(128, 32, 64, 8, 1),
    FusedConfig(64, 32, 64, 4, 1),
    FusedConfig(64, 32, 64, 4, 2),
    FusedConfig(64, 64, 64, 4, 2, True),
    FusedConfig(128, 32, 64, 8, 2, True),
    FusedConfig(64, 32, 64, 4, 2, True),
    FusedConfig(64, 32, 64, 4, 3, True),
)
FLOAT_CONFIGS = (FusedConfig(64, 16, 64, 8, 1),)
MAX_INPUTS = {torch.float16: 128, torch.bfloat16: 128, torch.float32: 32}
WIDE_MAX_INPUTS = 64  # of configs with more than 32 columns
MIN_ROWS = 8
PROGRAMS_PER_PROCESSOR = 4
HOPPER = 9


class Target(NamedTuple):
    """The compute capability's major number, and the bytes of shared memory that a program can use."""

    major: int
    shared: int


def target_of(x: Tensor) -> Target:
    """The target of x's device; that of an H100 if x is not on a GPU."""
    return _target_of_gpu(x.get_device()) if x.is_cuda else Target(HOPPER, 227 * 1024)


@cache
def _target_of_gpu(index: int) -> Target:
    shared = triton.runtime.driver.active.utils.get_device_properties(index)["max_shared_mem"]
    return Target(torch.cuda.get_device_capability(index)[0], shared)


def _block_inputs(x: Tensor) -> int:
    return max(16, triton.next_power_of_2(x.shape[3]))


def _shared_bytes(x: Tensor, config: FusedConfig) -> int:
    """Upper bound: nine taps of the weight, three shifts of a row of x per stage, and a row of the output."""
    block = _block_inputs(x)
    stages = max(1, config.stages - 1) if config.registers else config.stages
    values = 9 * block * config.bn + 3 * config.bw * block * stages + config.bw * config.bn
    return values * x.element_size()


def configs(x: Tensor, target: Target) -> list[FusedConfig]:
    """The block shapes for x's type and channels that the target has the memory and registers for."""
    if x.shape[3] > MAX_INPUTS[x.dtype]:
        return []
    listed = list(FLOAT_CONFIGS if x.dtype == torch.float32 else HALF_CONFIGS)
    narrow = target.major < HOPPER or x.shape[3] > WIDE_MAX_INPUTS
    listed = [c for c in listed if not c.registers or (target.major >= HOPPER and takes(x))]
    return [c for c in listed if _shared_bytes(x, c) <= target.shared and not (narrow and c.bn > 32)]


def fits(x: Tensor) -> bool:
    """Whether the fused form can compute a layer with this input."""
    return bool(configs(x, target_of(x)))


def _programs(x: Tensor, outputs: int, n: int, config: FusedConfig) -> tuple[int, int]:
    _, height, width, _ = x.shape
    blocks = triton.cdiv(2 * outputs, config.bn) * triton.cdiv(width, config.bw) * triton.cdiv(height, config.rows)
    return blocks, n


def _fitted(config: FusedConfig, x: Tensor, outputs: int, n: int) -> FusedConfig:
    """The config no larger than the image, with as many rows as leave some programs for each multiprocessor."""
    _, height, width, _ = x.shape
    rows = min(config.rows, triton.next_power_of_2(height))
    config = config._replace(bw=min(config.bw, max(16, triton.next_power_of_2(width))), rows=rows)
    while config.rows > MIN_ROWS:
        blocks, images = _programs(x, outputs, n, config)
        if blocks * images >= PROGRAMS_PER_PROCESSOR * multiprocessors(x):
            break
        config = config._replace(rows=config.rows // 2)
    return config


def candidates(x: Tensor, outputs: int, n: int) -> list[FusedConfig]:
    """The configs for the layer, the default first, with the default number of rows and with half of it."""
    # Blocks that read rows through descriptors are for wide images only.
    listed = [c for c in configs(x, target_of(x)) if not c.registers or c.bw <= x.shape[2]]
    found = [_fitted(config, x, outputs, n) for config in listed]
    found += [
        config._replace(rows=config.rows // 2) for config in found if config.rows > MIN_ROWS and not config.registers
    ]
    return list(dict.fromkeys(found))


def fused(
    x: Tensor, weight: Tensor, n: int, style: Tensor | None, epilogue: Epilogue, config: FusedConfig | None = None
) -> Tensor:
    """y [n, 2 H, 2 W, O] of x [NX, H, W, I] and weight [9, I, O], by one kernel.

    config: None for the first of `candidates`, or the measured fastest within `tune.tuning(True)`.
    Raises ValueError for operands whose shapes or types do not fit.
    """
    check_images(x, weight, n)
    _, height, width, inputs = x.shape
    outputs = weight.shape[2]
    require(weight.shape[:2] == (9, inputs), f"weight {list(weight.shape)}: expected [9, {inputs}, O]")
    require(fits(x), f"the fused form has no block for {inputs} input channels of {x.dtype} on this device")
    check_vectors("style", style, n, inputs)
    epilogue.check(n, 2 * height, 2 * width, outputs)

    def run(c: FusedConfig) -> Tensor:
        require(not c.registers or takes(x), "a descriptor needs channels whose rows are multiples of 16 bytes")
        return _launch(x, weight, n, style, epilogue, c)

    if config is None:
        options = candidates(x, outputs, n)
        key = {"shape": [n, *x.shape[1:]], "outputs": outputs, "dtype": str(x.dtype), "style": style is not None}
        config = tune.pick("fused_up_conv", key, options, options[0], run)
    return run(config)


def _launch(x: Tensor, weight: Tensor, n: int, style: Tensor | None, e: Epilogue, c: FusedConfig) -> Tensor:
    _, height, width, inputs = x.shape
    outputs = weight.shape[2]
    y = torch.empty(n, 2 * height, 2 * width, outputs, device=x.device, dtype=x.dtype)
    operand = TensorDescriptor.from_tensor(x, [1, 1, c.bw, _block_inputs(x)]) if c.registers else x
    fused_up_conv_kernel[_programs(x, outputs, n, c)](
        operand, weight, y, style, e.scale, e.noise, e.bias, e.next_style, x.shape[0],
        row_stride(style), row_stride(e.scale), e.noise_stride, row_stride(e.next_style), e.clamp or 0.0,
        CI=inputs, CO=outputs, H=height, W=width, HAS_STYLE=style is not None, HAS_SCALE=e.scale is not None,
        HAS_NOISE=e.noise is not None, HAS_BIAS=e.bias is not None, ACT=e.act, HAS_CLAMP=e.clamp is not None,
        HAS_NEXT=e.next_style is not None, PRECISION=precision(x.dtype),
        UPCAST=interpreted() and x.dtype == torch.bfloat16,
        DESCRIPTOR=c.registers, REGISTERS=c.registers and x.element_size() == 2 and not interpreted(),
        BW=c.bw, BN=c.bn, BK=_block_inputs(x), ROWS=c.rows, num_warps=c.warps, num_stages=c.stages,
    )  # fmt: skip
    return y
