"""The launch of the convolution kernel: shape checks, block shape, grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.epilogue import Colours, Tail
from sgi.kernels.gpu.conv.kernel import conv_kernel
from sgi.kernels.gpu.conv.pairs import PairsConfig, pairs_configs, pairs_conv
from sgi.kernels.gpu.conv.rows import ROWS, RowsConfig, rows_configs, rows_conv
from sgi.kernels.gpu.cost_model import CONVOLUTION, PHASES
from sgi.kernels.gpu.dispatch import dependent_convolution, interpreted, precision, require
from sgi.kernels.gpu.operands import Epilogue, RgbTail, check_images, check_vectors, row_stride
from sgi.kernels.gpu.torgb.launch import finish

Block = tune.Config | RowsConfig | PairsConfig  # its class is the form


def conv(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None = None,
    epilogue: Epilogue | None = None,
    rgb: RgbTail | None = None,
    *,
    up: int = 1,
    stride: int = 1,
    transposed: bool = False,
    write: bool = True,
    pair_weights: Tensor | None = None,
    config: Block | None = None,
) -> tuple[Tensor | None, Tensor | None]:
    """Run the kernel: y [n, H', W', O] of x's type (None unless `write`) and the picture [n, C, H, W] of `rgb`.

    x: [NX, H, W, I], image i reading x[i % NX]. weight: [9, I, O] of x's type; with up=2 [9, I, 4 * O] (phase
    weights); with `transposed`, for gradients, [9, O, I], its taps in reverse order if stride is 1. stride=2 maps
    [2 H + 1, 2 W + 1] pixels to [H, W] without padding. pair_weights: [3, 4 * I, 2 * O], the same weight for the pairs
    form, or None. config: block shape, and with its class the form; None to choose both. The rows form and the pairs
    form take up=1, stride=1, no style.
    Raises ValueError for operands whose shapes or types do not fit.
    """
    epilogue = epilogue or Epilogue()
    check_images(x, weight, n)
    _, hi, wi, inputs = x.shape
    columns = weight.shape[1] if transposed else weight.shape[2]
    require(weight.shape[0] == 9 and weight.shape[2 if transposed else 1] == inputs, f"weight {list(weight.shape)}")
    outputs = columns // (up * up)
    gh, gw = (hi, wi) if stride == 1 else ((hi - 1) // 2, (wi - 1) // 2)
    check_vectors("style", style, n, inputs)
    epilogue.check(n, gh * up, gw * up, outputs)
    if rgb is not None:
        require(up == 1, "to-rgb follows plain convolutions only")
        rgb.check(n, gh, gw, outputs)

    def run(block: Block) -> tuple[Tensor | None, Tensor | None]:
        if isinstance(block, RowsConfig | PairsConfig):
            plain = up == stride == 1 and not transposed and style is None
            require(plain, "the rows form and the pairs form take plain convolutions")
            if isinstance(block, RowsConfig):
                return rows_conv(x, weight, n, epilogue, rgb, write, block)
            fits = pair_weights is not None and pair_weights.shape[-1] == 2 * outputs
            require(fits, "the pairs form needs its packed weight, of the same output channels")
            assert pair_weights is not None
            return pairs_conv(x, pair_weights, n, epilogue, rgb, write, block)
        return _launch(x, weight, n, style, epilogue, rgb, up, stride, transposed, write, block, (gh, gw, outputs))

    if config is None:
        flags = {"up": up, "stride": stride, "transposed": transposed, "style": style is not None}
        flags |= {"rgb": rgb is not None, "write": write, "side": gh}
        heavy = up == 2 or tune.is_heavy(x, gh * gw, rgb is not None)
        # The plain form is the default; the others are chosen by a measurement only.
        plain = up == stride == 1 and not transposed
        others: list[Block] = []
        if plain:
            others = _others(x, weight, n, style, pair_weights)
        product = PHASES if up == 2 else CONVOLUTION
        without = tune.SPILLING_GRADIENT_BLOCK if stride == 2 and tune.before_hopper(x) else None
        work = n * gh * gw, inputs, columns
        config = tune.choose_blocks("conv", x, *work, flags, run, heavy, others, product, without)
    return run(config)


def _launch(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None,
    e: Epilogue,
    rgb: RgbTail | None,
    up: int,
    stride: int,
    transposed: bool,
    write: bool,
    block: tune.Config,
    grid_shape: tuple[int, int, int],
) -> tuple[Tensor | None, Tensor | None]:
    gh, gw, outputs = grid_shape
    column_blocks = triton.cdiv(up * up * outputs, block.bn)
    y = torch.empty(n, gh * up, gw * up, outputs, device=x.device, dtype=x.dtype) if write else None
    channels = 0 if rgb is None else rgb.weight.shape[0]
    # One block of columns contains all channels and finishes the picture; several give partial sums.
    whole = column_blocks == 1
    parts = None
    if rgb is not None:
        parts = torch.empty(column_blocks, n, channels, gh, gw, device=x.device, dtype=torch.float32)
    conv_kernel[(triton.cdiv(n * gh * gw, block.bm) * column_blocks,)](
        x, weight, y, style, Tail.of(e), None if rgb is None else Colours.of(rgb, parts), n, x.shape[0],
        row_stride(style), CI=x.shape[3], CO=outputs, HI=x.shape[1], WI=x.shape[2], GH=gh, GW=gw, C=channels,
        STRIDE=stride, PAD=1 if stride == 1 else 0, UP=up, TRANSPOSED=transposed,
        FLIPPED=transposed and stride == 1, ACT=e.act, PRECISION=precision(x.dtype),
        UPCAST=interpreted() and x.dtype == torch.bfloat16,
        BM=block.bm, BN=block.bn, BK=block.bk, num_warps=block.warps, num_stages=block.stages,
        **dependent_convolution(x),
    )  # fmt: skip
    if parts is None or rgb is None:
        return y, None
    return y, parts[0] if whole else finish(parts, rgb)


def candidates(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None = None,
    epilogue: Epilogue | None = None,
    rgb: RgbTail | None = None,
    write: bool = True,
    pair_weights: Tensor | None = None,
) -> Iterator[tuple[str, Callable[[], tuple[Tensor | None, Tensor | None]]]]:
    """(label, launch) of a plain convolution in every form and block shape; operands and results are those of `conv`.

    Labels: "plain 128x256x64 w8 s3" (rows x columns x input channels, warps, stages), "rows 4x64x64x32 w4 s3" (image
    rows x pixels x columns x input channels), "pairs 256x32 w8 s4" (pairs x values of the window).
    """
    columns = weight.shape[2]
    heavy = tune.is_heavy(x, x.shape[1] * x.shape[2], rgb is not None)
    plain = tune.candidates(x.dtype, x.shape[3], columns, heavy)
    configs: list[Block] = [*plain, *_others(x, weight, n, style, pair_weights)]
    for config in configs:
        launch = partial(conv, x, weight, n, style, epilogue, rgb, write=write, pair_weights=pair_weights)
        yield label(config), partial(launch, config=config)


def _others(x: Tensor, weight: Tensor, n: int, style: Tensor | None, pair_weights: Tensor | None) -> list[Block]:
    """The blocks of a plain convolution that only a measurement can choose."""
    trials = tune.trials(x, n * x.shape[1] * x.shape[2], x.shape[3], weight.shape[2])
    return [*trials, *rows_configs(x, weight, style), *pairs_configs(x, pair_weights, style)]


def label(config: Block) -> str:
    """Form and block shape in words, see `candidates`."""
    if isinstance(config, PairsConfig):
        return f"pairs {config.bm}x{config.bk} w{config.warps} s{config.stages}"
    shape = f"{config.bm}x{config.bn}x{config.bk} w{config.warps} s{config.stages}"
    return f"rows {ROWS}x{shape}" if isinstance(config, RowsConfig) else f"plain {shape}"
