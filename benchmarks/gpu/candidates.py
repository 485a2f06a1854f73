"""The candidates of each layer: every form and block shape, as (label, callable).

The list of the kernels' forms. A candidate computes the layer on the operands that it was made
from; the label names it in every size, so that a choice can be repeated in a network. Its first word is the form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv import launch as conv_launch
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.split.launch import HALF_BLOCKS, split_conv, up_conv_by_taps
from sgi.kernels.gpu.upconv import launch as up_launch

# Options with which the fused network calls `fused_conv`.
DEFAULT_OPTIONS: dict[str, Any] = {"split": 0}
# Whether the first layer multiplies the constant by its style, instead of a launch before it.
STYLE_ON_LOAD = False
Conv = tuple[Tensor | None, Tensor | None]
# The forms for few pixels keep partial sums in memory: up to this many pixels of a batch they can win.
MAX_PIXELS = 8192
PARTS = (2, 4, 9, 18)


def label(config: tune.Config, form: str = "plain") -> str:
    """For example "plain 128x256x64 w8 s3"."""
    return f"{form} {config.bm}x{config.bn}x{config.bk} w{config.warps} s{config.stages}"


def up_candidates(
    x: Tensor, weight: Tensor, phase_weights: Tensor | None, n: int, style: Tensor | None, epilogue: Epilogue
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """The ways to compute `up_conv` of the operands."""
    yield from up_launch.candidates(x, weight, phase_weights, n, style, epilogue)
    for block in _small_blocks(x, weight, n, style):
        yield label(block, "taps"), partial(up_conv_by_taps, x, weight, n, epilogue, block)


def conv_candidates(
    x: Tensor,
    weight: Tensor,
    n: int,
    style: Tensor | None,
    epilogue: Epilogue,
    rgb: RgbTail | None,
    write: bool,
    pair_weights: Tensor | None,
) -> Iterator[tuple[str, Callable[[], Conv]]]:
    """The ways to compute `conv` of the operands, with to-rgb or without."""
    yield from conv_launch.candidates(x, weight, n, style, epilogue, rgb, write, pair_weights)
    for block in _small_blocks(x, weight, n, style):
        for parts in PARTS:
            run = partial(split_conv, x, weight, n, epilogue, rgb, parts, write=write, block=block)
            yield label(block, f"split {parts}"), run


def _small_blocks(x: Tensor, weight: Tensor, n: int, style: Tensor | None) -> list[tune.Config]:
    """The blocks of the forms for few pixels that fit; these forms need an x that is multiplied by its style."""
    if style is not None or n * x.shape[1] * x.shape[2] > MAX_PIXELS:
        return []
    return list(dict.fromkeys(block.fitted(x.shape[3], weight.shape[2]) for block in HALF_BLOCKS))
