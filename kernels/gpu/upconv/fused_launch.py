"""The launch of the up-convolution's fused form: which layers it takes, block shapes, grid."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

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


# Programs with more rows repeat fewer rows of their neighbours above. The first block is the fastest on an H100; its
# sums fit the registers only if the matrix instructions read the weight from shared memory (Hopper). The second is for
# x that descriptors cannot address, narrow images, and other GPUs.
HALF_CONFIGS = (FusedConfig(64, 64, 64, 4, 2, True), FusedConfig(64, 32, 64, 4, 1))
FLOAT_CONFIGS = (FusedConfig(64, 16, 64, 8, 1),)
MAX_INPUTS = {torch.float16: 64, torch.bfloat16: 64, torch.float32: 32}
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
    """Upper bound: nine taps of the weight, three shifts of a row of x, and a row of the output."""
    block = _block_inputs(x)
    return (9 * block * config.bn + 3 * config.bw * block + config.bw * config.bn) * x.element_size()


def _config(x: Tensor, target: Target) -> FusedConfig | None:
    """The block shape for x's type, channels and width on the target; None if the form does not take x."""
    if x.shape[3] > MAX_INPUTS[x.dtype]:
        return None
    listed = FLOAT_CONFIGS if x.dtype == torch.float32 else HALF_CONFIGS
    addressed = target.major >= HOPPER and takes(x)
    usable = (c for c in listed if not c.registers or (addressed and c.bw <= x.shape[2]))
    return next((c for c in usable if _shared_bytes(x, c) <= target.shared), None)


def fits(x: Tensor) -> bool:
    """Whether the fused form can compute a layer with this input."""
    return _config(x, target_of(x)) is not None


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


def choose(x: Tensor, outputs: int, n: int) -> FusedConfig:
    """The block shape for a layer, with a number of rows that suits the image and the GPU.

    Raises ValueError if the form does not take x.
    """
    config = _config(x, target_of(x))
    if config is None:
        raise ValueError(f"the fused form has no block for {x.shape[3]} input channels of {x.dtype} on this device")
    return _fitted(config, x, outputs, n)


def fused(
    x: Tensor, weight: Tensor, n: int, style: Tensor | None, epilogue: Epilogue, config: FusedConfig | None = None
) -> Tensor:
    """y [n, 2 H, 2 W, O] of x [NX, H, W, I] and weight [9, I, O], by one kernel.

    config: block shape, None for that of `choose`.
    Raises ValueError for operands whose shapes or types do not fit.
    """
    check_images(x, weight, n)
    _, height, width, inputs = x.shape
    outputs = weight.shape[2]
    require(weight.shape[:2] == (9, inputs), f"weight {list(weight.shape)}: expected [9, {inputs}, O]")
    check_vectors("style", style, n, inputs)
    epilogue.check(n, 2 * height, 2 * width, outputs)

    config = config or choose(x, outputs, n)
    require(not config.registers or takes(x), "a descriptor needs channels whose rows are multiples of 16 bytes")
    return _launch(x, weight, n, style, epilogue, config)


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
