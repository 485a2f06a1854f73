"""The candidates of each layer: every form and block shape, as (label, callable).

The one place that knows which forms the kernels have. A candidate computes the layer on the operands that it was made
from; the label names it in every size, so that a choice can be repeated in a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.launch import candidates as plain_candidates
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.split.launch import split_conv
from sgi.kernels.gpu.upconv.launch import up_conv

FEW_PIXELS = 8192  # of a batch, for the forms of layers of few pixels
PARTS = (2, 4, 9, 18)

Conv = tuple[Tensor | None, Tensor | None]


def label(config: tune.Config, form: str = "") -> str:
    """For example "fir 128x256x64 w8 s3"."""
    return f"{form} {config.bm}x{config.bn}x{config.bk} w{config.warps} s{config.stages}".strip()


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
    if style is None and n * x.shape[1] * x.shape[2] <= FEW_PIXELS:
        yield "taps", lambda: up_conv(x, weight, None, n, None, epilogue, "taps")


def conv_candidates(
    x: Tensor, weight: Tensor, n: int, style: Tensor | None, epilogue: Epilogue, rgb: RgbTail | None, write: bool
) -> Iterator[tuple[str, Callable[[], Conv]]]:
    """The ways to compute `conv` of the operands, with to-rgb or without."""
    yield from plain_candidates(x, weight, n, style, epilogue, rgb, write)
    if style is None and n * x.shape[1] * x.shape[2] <= FEW_PIXELS:
        for parts in PARTS:
            yield f"divided {parts}", lambda p=parts: split_conv(x, weight, n, epilogue, rgb, p, write=write)
