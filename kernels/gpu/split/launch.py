"""Launches of convolutions whose inner axis is divided: the rules that choose the parts, shape checks, grids."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.dispatch import (
    dependent_options,
    interpreted,
    multiprocessors,
    precision,
    prefetches_weights,
    require,
)
from sgi.kernels.gpu.operands import Epilogue, RgbTail, check_images, row_stride
from sgi.kernels.gpu.split.kernel import partial_conv_kernel, sum_parts_kernel, sum_taps_kernel
from sgi.kernels.gpu.tune import Config

TAPS = 9
# For up to FEW_ROWS pixels, and for more. Three or four blocks fit into a multiprocessor's shared memory together.
FEW_ROWS = 32
HALF_BLOCKS = (Config(16, 32, 128, 4, 4), Config(64, 64, 64, 4, 4))
FLOAT_BLOCKS = (Config(16, 32, 64, 4, 3), Config(64, 64, 32, 4, 3))
MIN_STEPS = 8  # of a part: the first step waits for memory, the others overlap
BLOCKS_PER_PROCESSOR = 2
# Up to this many blocks of 64 x 64 outputs for each multiprocessor, nine products and their sum take less time than the
# FIR form, whose launches are too small to fill the GPU. Measured on an H100: 0.70 of its time with 3.9 blocks, 0.98 to
# 1.08 with 7.8.
TAPS_MAX_BLOCKS = 4
SUM_ELEMENTS = 128  # of a program: small programs, because there are few pixels


def block_of(dtype: torch.dtype, rows: int, inner: int, columns: int) -> Config:
    """The block of the partial sums of a convolution of `rows` pixels."""
    blocks = FLOAT_BLOCKS if dtype == torch.float32 else HALF_BLOCKS
    return blocks[rows > FEW_ROWS].fitted(inner, columns)


def parts_of(x: Tensor, n: int, columns: int) -> int:
    """Number of parts for a plain convolution of n images [H, W, I] to `columns` channels; 1 means no division.

    As many parts as make up to `BLOCKS_PER_PROCESSOR` blocks a multiprocessor, but at least `MIN_STEPS` steps in each.
    """
    _, height, width, inner = x.shape
    block = block_of(x.dtype, n * height * width, inner, columns)
    blocks = triton.cdiv(n * height * width, block.bm) * triton.cdiv(columns, block.bn)
    processors = multiprocessors(x)
    if blocks > processors:
        return 1
    steps = TAPS * triton.cdiv(inner, block.bk)
    # Rounded down, so that all blocks run at once.
    wanted = min(BLOCKS_PER_PROCESSOR * processors // blocks, steps // MIN_STEPS)
    return max(1, triton.cdiv(steps, triton.cdiv(steps, max(1, wanted))))


def prefers_taps(x: Tensor, n: int, columns: int) -> bool:
    """Whether an up-convolution of n images [H, W, I] to `columns` channels is faster by `up_conv_by_taps`."""
    blocks = triton.cdiv(4 * n * x.shape[1] * x.shape[2], 64) * triton.cdiv(columns, 64)
    return blocks <= TAPS_MAX_BLOCKS * multiprocessors(x)


def conv_or_split(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None,
    epilogue: Epilogue,
    rgb: RgbTail | None,
    write: bool,
    split: int,
    pair_weights: Tensor | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """`conv.launch.conv` of a plain convolution in `split` parts; 1 is the undivided kernel, 0 chooses."""
    from sgi.kernels.gpu.conv.launch import conv

    require(style is None or split <= 1, "split: x must be multiplied by its style before")
    parts = split or (choose_parts(x, weight, n) if style is None else 1)
    if parts > 1:
        return split_conv(x, weight, n, epilogue, rgb, parts, write=write)
    return conv(x, weight, n, style, epilogue, rgb, write=write, pair_weights=pair_weights)


def choose_parts(x: Tensor, weight: Tensor, n: int) -> int:
    """`parts_of`, or within `tune.tuning(True)` the fastest of a list, of which 1 is the undivided kernel."""
    from sgi.kernels.gpu.conv.launch import conv

    columns = weight.shape[2]
    default = parts_of(x, n, columns)
    key = {"shape": [n, *x.shape[1:]], "outputs": columns, "dtype": str(x.dtype)}
    options = sorted({1, 2, 3, 4, 6, 9, 18, default})
    epilogue = Epilogue()

    def run(parts: int) -> object:
        if parts == 1:
            return conv(x, weight, n, None, epilogue)
        return split_conv(x, weight, n, epilogue, None, parts)

    return int(tune.pick("split", key, options, default, run))


def partial_conv(x: Tensor, weight: Tensor, n: int, steps: int, block: Config, *, shifted: bool) -> Tensor:
    """Sums over parts of `steps` steps: [parts, n, H, W, O] of x [NX, H, W, I] and weight [9, I, O].

    shifted: taps read the neighbours, as in a plain convolution, and the sums are float32. Otherwise every tap reads
    the pixel itself, and the products are rounded to x's type, as the intermediate tensor of the FIR form is.
    """
    check_images(x, weight, n)
    _, height, width, inner = x.shape
    outputs = weight.shape[2]
    require(weight.shape[:2] == (TAPS, inner), f"weight {list(weight.shape)}: expected [9, {inner}, O]")
    count = triton.cdiv(TAPS * triton.cdiv(inner, block.bk), steps)
    rows = n * height * width
    parts = torch.empty(count, n, height, width, outputs, device=x.device, dtype=torch.float32 if shifted else x.dtype)
    partial_conv_kernel[(triton.cdiv(rows, block.bm) * triton.cdiv(outputs, block.bn) * count,)](
        x, weight, parts, n, x.shape[0],
        CI=inner, CO=outputs, H=height, W=width, STEPS=steps, SHIFTED=shifted,
        PRECISION=precision(x.dtype), UPCAST=interpreted() and x.dtype == torch.bfloat16, PREFETCH=prefetches_weights(),
        BM=block.bm, BN=block.bn, BK=block.bk, num_warps=block.warps, num_stages=block.stages,
        **dependent_options(x),
    )  # fmt: skip
    return parts


def split_conv(
    x: Tensor,
    weight: Tensor,
    n: int,
    e: Epilogue,
    rgb: RgbTail | None,
    parts: int,
    *,
    write: bool = True,
    block: Config | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """`conv.launch.conv` without its gradients' options, with the inner axis divided into about `parts` parts.

    x is already multiplied by its style.
    """
    _, height, width, inner = x.shape
    outputs = weight.shape[2]
    e.check(n, height, width, outputs)
    if rgb is not None:
        rgb.check(n, height, width, outputs)
    rows = n * height * width
    block = block or block_of(x.dtype, rows, inner, outputs)
    steps = triton.cdiv(TAPS * triton.cdiv(inner, block.bk), parts)
    sums = partial_conv(x, weight, n, steps, block, shifted=True)
    y = torch.empty(n, height, width, outputs, device=x.device, dtype=x.dtype) if write else None
    channels = 0 if rgb is None else rgb.weight.shape[0]
    img = None if rgb is None else torch.empty(n, channels, height, width, device=x.device, dtype=torch.float32)
    bo = triton.next_power_of_2(outputs)
    bm = max(1, (4 if rows <= 1024 else 16) * SUM_ELEMENTS // bo)
    sum_parts_kernel[(triton.cdiv(rows, bm),)](
        sums, y, e.scale, e.noise, e.bias, e.next_style,
        *((None,) * 4 if rgb is None else (rgb.style, rgb.weight, rgb.bias, rgb.below)), img,
        n, 1 if rgb is None or rgb.below is None else rgb.below.shape[0],
        row_stride(e.scale), e.noise_stride, row_stride(e.next_style), row_stride(None if rgb is None else rgb.style),
        e.clamp or 0.0, 0.0 if rgb is None else rgb.clamp or 0.0,
        CO=outputs, H=height, W=width, C=channels, PARTS=sums.shape[0], HAS_SCALE=e.scale is not None,
        HAS_NOISE=e.noise is not None, HAS_BIAS=e.bias is not None, ACT=e.act, HAS_CLAMP=e.clamp is not None,
        HAS_NEXT=e.next_style is not None, HAS_RGB=rgb is not None,
        HAS_BELOW=rgb is not None and rgb.below is not None, HAS_RGB_CLAMP=rgb is not None and rgb.clamp is not None,
        WRITE_Y=write, BM=bm, BO=bo, num_warps=4, **dependent_options(x),
    )  # fmt: skip
    return y, img


def up_conv_by_taps(x: Tensor, weight: Tensor, n: int, e: Epilogue, block: Config | None = None) -> Tensor:
    """y [n, 2 H, 2 W, O] of x [NX, H, W, I]: the products of x with each tap, then their filtered sum.

    x is already multiplied by its style. The products need no neighbours: they are one matrix product of 9 O columns,
    which fills a GPU at few pixels.
    """
    _, height, width, inner = x.shape
    outputs = weight.shape[2]
    e.check(n, 2 * height, 2 * width, outputs)
    block = block or block_of(x.dtype, n * height * width, inner, outputs)
    products = partial_conv(x, weight, n, triton.cdiv(inner, block.bk), block, shifted=False)
    y = torch.empty(n, 2 * height, 2 * width, outputs, device=x.device, dtype=x.dtype)
    bo = min(SUM_ELEMENTS, triton.next_power_of_2(outputs))
    bm = SUM_ELEMENTS // bo
    sum_taps_kernel[(triton.cdiv(n * height * width, bm) * triton.cdiv(outputs, bo),)](
        products, y, e.scale, e.noise, e.bias, e.next_style, n, row_stride(e.scale), e.noise_stride,
        row_stride(e.next_style), e.clamp or 0.0,
        CO=outputs, H=height, W=width, HAS_SCALE=e.scale is not None, HAS_NOISE=e.noise is not None,
        HAS_BIAS=e.bias is not None, ACT=e.act, HAS_CLAMP=e.clamp is not None, HAS_NEXT=e.next_style is not None,
        BM=bm, BO=bo, num_warps=4, **dependent_options(x),
    )  # fmt: skip
    return y
