"""Launches of the up-convolution in its three forms, and of the filter alone.

FIR form: a transposed convolution, then the filter with the epilogue; 9 multiply-adds per input pixel, and an
intermediate tensor of four times the pixels. Phases form: the filter is folded into the weight, and one launch of the
plain kernel computes the four output phases; 36 multiply-adds per input pixel, and no intermediate tensor. Fused form:
one kernel with half of the filter in the weight and half in the sums; 18 multiply-adds, and no intermediate tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.launch import conv
from sgi.kernels.gpu.cost_model import TRANSPOSED
from sgi.kernels.gpu.dispatch import dependent_convolution, interpreted, multiprocessors, precision, require
from sgi.kernels.gpu.operands import Epilogue, check_images, check_vectors, row_stride
from sgi.kernels.gpu.split.launch import up_conv_by_taps
from sgi.kernels.gpu.upconv import fused_launch
from sgi.kernels.gpu.upconv.kernel import fir_kernel, transposed_conv_kernel

# Measured on an H100 at 1024 px: with 64 inputs the phases form takes 0.75 of the time of the FIR form, with 128 1.2.
PHASES_MAX_INPUTS = 64
# With at most this many blocks of 128 x 128 a multiprocessor all run at once: measured 0.75 of the FIR form's time with
# 128 inputs at 128 px, batch 1 (2 blocks a multiprocessor), 1.1 at 256 px (8 blocks).
PHASES_MAX_BLOCKS = 2
# Measured with 64 inputs at 512 px: 0.72 of the phases form's time with 64 rows a program, 0.85 with 32, 1.15 with 8.
FUSED_MIN_ROWS = 32
FIR_ROWS = 16
FORMS = ("fir", "phases", "fused")
TAPS = "taps"  # for few pixels, see split.launch


def default_form(x: Tensor, outputs: int, n: int, has_phase_weights: bool) -> str:
    """The form of the up-convolution of n images of x [NX, H, W, I] to `outputs` channels, without measurements."""
    _, height, width, inputs = x.shape
    half = x.element_size() == 2
    if fused_launch.fits(x):
        fused = fused_launch.choose(x, outputs, n)
        # The other blocks are for x that descriptors cannot address, and were not measured as a default.
        if fused.registers and fused.rows >= FUSED_MIN_ROWS:
            return "fused"
    if not has_phase_weights:
        return "fir"
    blocks = triton.cdiv(n * height * width, 128) * triton.cdiv(4 * outputs, 128)
    few = half and blocks <= PHASES_MAX_BLOCKS * multiprocessors(x)
    return "phases" if few or inputs <= PHASES_MAX_INPUTS else "fir"


def up_conv(
    x: Tensor,
    weight: Tensor,
    phase_weights: Tensor | None,
    n: int,
    style: Tensor | None,
    epilogue: Epilogue,
    form: str | None = None,
    config: tune.Config | None = None,
) -> Tensor:
    """y [n, 2 H, 2 W, O] of x [NX, H, W, I]; weight: [9, I, O], phase_weights: [9, I, 4 * O] or None.

    form: one of FORMS, or TAPS; None chooses by `default_form`, or by measurement within `tune.tuning(True)`.
    config: block shape of the matrix product of fir, phases and taps, None to choose one.
    """
    require(form in (None, *FORMS, TAPS), f"form {form!r}: choose one of {', '.join((*FORMS, TAPS))}")
    require(form != TAPS or style is None, "the taps form: x must be multiplied by its style before")
    require(form != "phases" or phase_weights is not None, "the phases form needs its packed weight")

    def run(name: str) -> Tensor:
        if name == "fused":
            return fused_launch.fused(x, weight, n, style, epilogue)
        if name == "phases" and phase_weights is not None:
            y, _ = conv(x, phase_weights, n, style, epilogue, up=2, config=config)
            assert y is not None
            return y
        if name == TAPS:
            return up_conv_by_taps(x, weight, n, epilogue, config)
        return fir(transposed_conv(x, weight, n, style, config), pad=1, epilogue=epilogue)

    if form is None:
        options = ["fir"]
        if phase_weights is not None:
            options.append("phases")
        if fused_launch.fits(x):
            options.append("fused")
        key = {"shape": [n, *x.shape[1:]], "outputs": weight.shape[2], "dtype": str(x.dtype)}
        form = tune.pick("up_conv", key, options, default_form(x, weight.shape[2], n, phase_weights is not None), run)
    return run(form)


def candidates(
    x: Tensor, weight: Tensor, phase_weights: Tensor | None, n: int, style: Tensor | None, epilogue: Epilogue
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """(name of a form and its block shape, launch) of every way to compute a layer, for benchmarks."""
    outputs = weight.shape[2]
    blocks = tune.candidates(x.dtype, x.shape[3], outputs, heavy=style is not None)
    for block in [*blocks, *_trials(x, outputs, n)]:
        yield f"fir {_label(block)}", partial(up_conv, x, weight, None, n, style, epilogue, "fir", block)
    if phase_weights is not None:
        for block in tune.candidates(x.dtype, x.shape[3], 4 * outputs, heavy=True):
            run = partial(up_conv, x, weight, phase_weights, n, style, epilogue, "phases", block)
            yield f"phases {_label(block)}", run
    if fused_launch.fits(x):
        config = fused_launch.choose(x, outputs, n)
        yield f"fused {config.label}", partial(fused_launch.fused, x, weight, n, style, epilogue, config)


def _trials(x: Tensor, outputs: int, n: int) -> list[tune.Config]:
    """The blocks of a transposed convolution that only a measurement can choose."""
    _, height, width, inputs = x.shape
    return tune.trials(x, 4 * n * (height + 1) * (width + 1), inputs, outputs)


def _label(block: tune.Config) -> str:
    return f"{block.bm}x{block.bn}x{block.bk} w{block.warps} s{block.stages}"


def transposed_conv(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None = None,
    config: tune.Config | None = None,
) -> Tensor:
    """Transposed convolution of stride 2: t [n, 2 H + 1, 2 W + 1, O] of x [NX, H, W, I], weight [9, I, O]."""
    check_images(x, weight, n)
    _, height, width, inputs = x.shape
    outputs = weight.shape[2]
    require(weight.shape[:2] == (9, inputs), f"weight {list(weight.shape)}: expected [9, {inputs}, O]")
    check_vectors("style", style, n, inputs)
    rows = n * (height + 1) * (width + 1)

    def run(block: tune.Config) -> Tensor:
        t = torch.empty(n, 2 * height + 1, 2 * width + 1, outputs, device=x.device, dtype=x.dtype)
        transposed_conv_kernel[(triton.cdiv(rows, block.bm) * 4 * triton.cdiv(outputs, block.bn),)](
            x, weight, t, style, n, x.shape[0], row_stride(style),
            CI=inputs, CO=outputs, H=height, W=width, HAS_STYLE=style is not None, PRECISION=precision(x.dtype),
            UPCAST=interpreted() and x.dtype == torch.bfloat16, BM=block.bm, BN=block.bn, BK=block.bk,
            num_warps=block.warps, num_stages=block.stages, **dependent_convolution(x),
        )  # fmt: skip
        return t

    if config is None:
        flags = {"style": style is not None, "side": height}
        # A style for each row takes shared memory that the widest block does not leave.
        heavy = style is not None
        work = 4 * rows, inputs, outputs, flags, run, heavy, _trials(x, outputs, n), TRANSPOSED
        config = tune.choose_blocks("transposed_conv", x, *work)
    return run(config)


def _check_out(out: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    if out is not None:
        fits = out.shape == shape and out.dtype == dtype and out.is_contiguous()
        require(fits, f"out {list(out.shape)}: expected contiguous {list(shape)}, {dtype}")


def fir(t: Tensor, pad: int, epilogue: Epilogue | None = None) -> Tensor:
    """The low-pass filter of gain 4, then the epilogue: [N, H + 2 pad - 3, W + 2 pad - 3, C] of t [N, H, W, C]."""
    e = epilogue or Epilogue()
    n, hi, wi, channels = t.shape
    ho, wo = hi + 2 * pad - 3, wi + 2 * pad - 3
    require(t.is_contiguous() and ho > 0 and wo > 0, "t: expected contiguous [N, H, W, C]")
    e.check(n, ho, wo, channels)
    y = torch.empty(n, ho, wo, channels, device=t.device, dtype=t.dtype)
    bc = min(64, triton.next_power_of_2(channels))
    bx = min(max(1, 1024 // bc), triton.next_power_of_2(wo))
    rows = min(FIR_ROWS, triton.next_power_of_2(ho))
    fir_kernel[(triton.cdiv(channels, bc) * triton.cdiv(wo, bx) * triton.cdiv(ho, rows), n)](
        t, y, e.scale, e.noise, e.bias, e.next_style, row_stride(e.scale), e.noise_stride, row_stride(e.next_style),
        e.clamp or 0.0, C=channels, HI=hi, WI=wi, HO=ho, WO=wo, PAD=pad,
        HAS_SCALE=e.scale is not None, HAS_NOISE=e.noise is not None, HAS_BIAS=e.bias is not None, ACT=e.act,
        HAS_CLAMP=e.clamp is not None, HAS_NEXT=e.next_style is not None, ROWS=rows, BX=bx, BC=bc,
        num_warps=4, **dependent_convolution(t),
    )  # fmt: skip
    return y
