"""The launches of all kernels and block shapes on meta tensors, for compilation without a GPU.

A case is (name, block shape, launch); the layer of a launch is one that uses the block. `resources` compiles them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from sgi.kernels.gpu import dispatch, tune
from sgi.kernels.gpu.codes.launch import launch_codes
from sgi.kernels.gpu.conv.launch import conv, label
from sgi.kernels.gpu.conv.pairs import PAIRS_CONFIGS
from sgi.kernels.gpu.conv.rows import ROWS_CONFIG
from sgi.kernels.gpu.gradient.launch import activation_gradient, style_gradient
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.packed_weights import PackedConv
from sgi.kernels.gpu.split import launch as split
from sgi.kernels.gpu.styles.row_launch import affine, linear, scales
from sgi.kernels.gpu.styles.table import StyleTable
from sgi.kernels.gpu.torgb.launch import apply_styles, torgb, torgb_gradient
from sgi.kernels.gpu.upconv import fused_launch
from sgi.kernels.gpu.upconv.launch import fir, transposed_conv

IMAGES = 8
ALL_VARIANTS = ("inference", "styled", "gradient", "up gradient", "transposed", "phases")
# Width of a block -> side and channels of a layer that uses it, in a 1024 px generator of channel base 32768.
LAYERS = {256: (128, 256), 128: (64, 512), 64: (512, 64), 32: (1024, 32)}


def _meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


def _epilogue(side: int, channels: int, ahead: bool) -> Epilogue:
    vectors = _meta(IMAGES, channels)
    return Epilogue(
        vectors, _meta(1, side, side), _meta(channels), act=True, clamp=256.0, next_style=vectors if ahead else None
    )


def gemm_cases(
    config: tune.Config, dtype: torch.dtype, variants: tuple[str, ...], arch: int
) -> Iterator[tuple[str, Callable]]:
    """(name, launch) of the kernels that have block shapes, on a layer that uses this one."""
    side, channels = LAYERS[config.bn] if config.bm > 16 else (4, 512)
    x = _meta(IMAGES, side, side, channels, dtype=dtype)
    style = _meta(IMAGES, channels)
    weight = _meta(9, channels, channels, dtype=dtype)
    below = None if side == 4 else _meta(IMAGES, 3, side // 2, side // 2)
    tail = RgbTail(style, _meta(3, channels), _meta(3), below, clamp=256.0)
    cases: dict[str, Callable] = {
        "inference": lambda: conv(x, weight, IMAGES, None, _epilogue(side, channels, True), tail, config=config),
        "styled": lambda: conv(x, weight, IMAGES, style, _epilogue(side, channels, False), config=config),
        "gradient": lambda: conv(x, weight, IMAGES, transposed=True, config=config),
        "up gradient": lambda: conv(
            _meta(IMAGES, 2 * side + 1, 2 * side + 1, channels, dtype=dtype),
            weight,
            IMAGES,
            stride=2,
            transposed=True,
            config=config,
        ),
        "transposed": lambda: transposed_conv(x, weight, IMAGES, None, config),
        "phases": lambda: conv(
            x,
            _meta(9, channels, 4 * channels, dtype=dtype),
            IMAGES,
            None,
            _epilogue(2 * side, channels, True),
            up=2,
            config=config,
        ),
    }
    for variant in variants:
        heavy = variant == "phases" or (variant == "inference" and arch < 90)
        if heavy and config.bn > tune.HEAVY_MAX_COLUMNS:
            continue
        if variant == "up gradient" and arch < 90 and config.shape == tune.SPILLING_GRADIENT_BLOCK:
            continue
        yield variant, cases[variant]


def rows_case(dtype: torch.dtype) -> tuple[str, str, Callable]:
    """(name, block shape, launch) of the rows form on a layer that uses it."""
    side, channels = LAYERS[ROWS_CONFIG.bn]
    x, weight = _meta(IMAGES, side, side, channels, dtype=dtype), _meta(9, channels, channels, dtype=dtype)
    tail = RgbTail(
        _meta(IMAGES, channels), _meta(3, channels), _meta(3), _meta(IMAGES, 3, side // 2, side // 2), clamp=256.0
    )
    launch = partial(conv, x, weight, IMAGES, None, _epilogue(side, channels, True), tail, config=ROWS_CONFIG)
    return "rows", label(ROWS_CONFIG), launch


def pairs_cases(dtype: torch.dtype) -> Iterator[tuple[str, str, Callable]]:
    """(name, block shape, launch) of the pairs form on the widest layer that uses it, once with features written."""
    for config in PAIRS_CONFIGS:
        channels = 32 if config == PAIRS_CONFIGS[-1] else 64
        side = 32768 // channels
        x, weight = _meta(IMAGES, side, side, channels, dtype=dtype), _meta(9, channels, channels, dtype=dtype)
        pairs, style = _meta(3, 4 * channels, 2 * channels, dtype=dtype), _meta(IMAGES, channels)
        tail = RgbTail(style, _meta(3, channels), _meta(3), _meta(IMAGES, 3, side // 2, side // 2), clamp=256.0)
        operands = x, weight, IMAGES, None, _epilogue(side, channels, True), tail
        yield "pairs", label(config), partial(conv, *operands, pair_weights=pairs, config=config)


def fused_cases(dtype: torch.dtype, arch: int) -> Iterator[tuple[str, str, Callable]]:
    """(name, block shape, launch) of the up-convolution's fused form, with and without the style."""
    inputs = fused_launch.MAX_INPUTS[dtype]
    side, outputs = 32768 // inputs, inputs // 2
    x, weight = _meta(IMAGES, side, side, inputs, dtype=dtype), _meta(9, inputs, outputs, dtype=dtype)
    epilogue = _epilogue(2 * side, outputs, True)
    for config in fused_launch.FLOAT_CONFIGS if dtype == torch.float32 else fused_launch.HALF_CONFIGS:
        if config.registers and arch < 90:
            continue
        for case, style in (("fused", None), ("fused styled", _meta(IMAGES, inputs))):
            yield case, config.label, partial(fused_launch.fused, x, weight, IMAGES, style, epilogue, config)


def other_cases(dtype: torch.dtype) -> Iterator[tuple[str, Callable]]:
    """(name, launch) of the kernels that have no block shapes."""
    side, channels = 64, 512
    x = _meta(IMAGES, side, side, channels, dtype=dtype)
    style, noise, bias = _meta(IMAGES, channels), _meta(1, side, side), _meta(channels)
    tail = RgbTail(style, _meta(3, channels), _meta(3), _meta(IMAGES, 3, side // 2, side // 2))
    packed = PackedConv(_meta(9, channels, channels, dtype=dtype), _meta(channels), _meta(channels, channels))
    yield "to-rgb", lambda: torgb(x, tail)
    yield "apply styles", lambda: apply_styles(_meta(1, side, side, channels, dtype=dtype), style, tail)
    yield "to-rgb gradient", lambda: torgb_gradient(_meta(IMAGES, 3, side, side), x, style, tail.weight)
    yield "activation gradient", lambda: activation_gradient(x, x, style, noise, bias, 256.0)
    yield "style gradient", lambda: style_gradient(x, x, style)
    yield "codes", lambda: launch_codes(_meta(IMAGES, 3, side, side), _meta(65535), 1, 16)
    t = _meta(IMAGES, 2 * side + 1, 2 * side + 1, channels, dtype=dtype)
    yield "FIR", lambda: fir(t, 1, _epilogue(2 * side, channels, True))
    yield "FIR gradient", lambda: fir(_meta(IMAGES, 2 * side, 2 * side, channels, dtype=dtype), 2)
    two, vectors = StyleTable.of([packed, packed]), _meta(IMAGES, channels)
    yield "mapping", lambda: linear(vectors, _meta(channels, channels), bias, normalise=True)
    yield (
        "affine",
        lambda: affine(
            vectors,
            _meta(1, 2 * channels, channels),
            _meta(1, 2 * channels),
            _meta(2, 2 * channels),
            _meta(2 * channels, dtype=torch.int32),
            _meta(),
            None,
        ),
    )
    yield (
        "scales",
        lambda: scales(_meta(IMAGES, 2 * channels), two.energy, two.norm, two.rows, two.widest, two.starts[-1]),
    )


def dependent_cases(dtype: torch.dtype) -> Iterator[tuple[str, str, Callable]]:
    """(name, block, launch) of the convolutions of many pixels with dependent launches."""
    side, channels = 128, 256
    config = tune.configs(dtype)[0]
    x, weight = _meta(IMAGES, side, side, channels, dtype=dtype), _meta(9, channels, channels, dtype=dtype)
    plain, up = _epilogue(side, channels, True), _epilogue(2 * side, channels, True)
    name = label(config).removeprefix("plain ")
    yield "dependent", name, lambda: _dependent(lambda: conv(x, weight, IMAGES, None, plain, config=config))
    yield (
        "dependent",
        name,
        lambda: _dependent(lambda: fir(transposed_conv(x, weight, IMAGES, None, config), 1, up)),
    )


def split_cases(dtype: torch.dtype) -> Iterator[tuple[str, str, Callable]]:
    """(name, block, launch) of the convolutions with a divided inner axis, on a layer of 8 px."""
    channels, side = 512, 8
    weight, style = _meta(9, channels, channels, dtype=dtype), _meta(IMAGES, channels)
    x = _meta(IMAGES, side, side, channels, dtype=dtype)
    tail = RgbTail(style, _meta(3, channels), _meta(3), _meta(IMAGES, 3, side // 2, side // 2), clamp=256.0)
    plain, up = _epilogue(side, channels, True), _epilogue(2 * side, channels, True)
    for block in split.FLOAT_BLOCKS if dtype == torch.float32 else split.HALF_BLOCKS:
        name = f"{block.bm}x{block.bn}x{block.bk} w{block.warps} s{block.stages}"
        yield "divided", name, lambda b=block: split.split_conv(x, weight, IMAGES, plain, tail, 9, block=b)
        yield "taps", name, lambda b=block: split.up_conv_by_taps(x, weight, IMAGES, up, b)
        yield (
            "dependent",
            name,
            lambda b=block: _dependent(lambda: split.split_conv(x, weight, IMAGES, plain, tail, 9, block=b)),
        )
        yield (
            "prefetched",
            name,
            lambda b=block: _dependent(lambda: split.up_conv_by_taps(x, weight, IMAGES, up, b), True),
        )


def _dependent(launch: Callable, prefetch: bool = False) -> None:
    with dispatch.dependent_launches(), dispatch.weight_prefetch(prefetch), dispatch.dependent_convolutions(True):
        launch()


def block_cases(arch: int, dtype: torch.dtype, variants: tuple[str, ...]) -> Iterator[tuple[str, str, Callable]]:
    """(variant, block, launch) of every block shape of a type; blocks on trial in the variants that use them."""
    trials = tune.TRIAL_CONFIGS if dtype.itemsize == 2 else ()
    for config in (*tune.configs(dtype), *trials):
        used = tuple(v for v in variants if config not in trials or v in ("inference", "transposed"))
        for variant, launch in gemm_cases(config, dtype, used, arch):
            yield variant, label(config).removeprefix("plain "), launch


def all_other_cases(arch: int, dtype: torch.dtype) -> Iterator[tuple[str, str, Callable]]:
    """(name, block, launch) of the other forms, and of the kernels that have no block shapes."""
    if dtype.itemsize == 2 and arch >= 90:
        yield rows_case(dtype)
    if dtype.itemsize == 2:
        yield from pairs_cases(dtype)
    yield from fused_cases(dtype, arch)
    yield from split_cases(dtype)
    yield from dependent_cases(dtype)
    yield from ((case, "", launch) for case, launch in other_cases(dtype))
