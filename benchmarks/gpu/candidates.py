"""The candidates of each layer: every form and block shape, as (label, callable).

The one place that knows which forms the kernels have. A candidate computes the layer on the operands that it was made
from; the label names it in every size, so that a choice can be repeated in a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.launch import candidates as plain_candidates
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.upconv.launch import up_conv

# Options with which the fused network calls `fused_conv`.
DEFAULT_OPTIONS: dict[str, Any] = {}
# Whether the first layer multiplies the constant by its style, instead of a launch before it.
STYLE_ON_LOAD = True
Conv = tuple[Tensor | None, Tensor | None]


def label(config: tune.Config, form: str = "plain") -> str:
    """For example "fir 128x256x64 w8 s3"."""
    return f"{form} {config.bm}x{config.bn}x{config.bk} w{config.warps} s{config.stages}"


def up_candidates(
    x: Tensor, weight: Tensor, phase_weights: Tensor | None, n: int, style: Tensor | None, epilogue: Epilogue
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """The ways to compute `up_conv` of the operands."""
    for form in ("fir", "phases"):
        if form == "phases" and phase_weights is None:
            continue
        columns = weight.shape[2] * (4 if form == "phases" else 1)
        for config in tune.candidates(x.dtype, x.shape[3], columns, heavy=form == "phases"):

            def run(form: str = form, config: tune.Config = config) -> Tensor:
                return up_conv(x, weight, phase_weights, n, style, epilogue, form, config)

            yield label(config, form), run


def conv_candidates(
    x: Tensor, weight: Tensor, n: int, style: Tensor | None, epilogue: Epilogue, rgb: RgbTail | None, write: bool
) -> Iterator[tuple[str, Callable[[], Conv]]]:
    """The ways to compute `conv` of the operands, with to-rgb or without."""
    return plain_candidates(x, weight, n, style, epilogue, rgb, write)
