"""Display codes as pixels: one way to draw a map, for contact sheets and for frames of walks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.colour_map import viridis

PAPER = (250, 250, 250)
"""The colour behind pictures and under transparent pixels."""

Span = tuple[float, float]
"""Least and largest display code of a type, between which its colours are spread."""


def is_coloured(kind: Intrinsic) -> bool:
    """Whether maps of a type are drawn in colours that span its least to its largest value: depth is."""
    return kind.decoding == "inverse"


def span_of(codes: Iterable[NDArray[np.floating]]) -> Span:
    """The span of display codes, arrays of any shape; (1, 0) of none."""
    low, high = 1.0, 0.0
    for code in codes:
        low, high = min(low, float(code.min())), max(high, float(code.max()))
    return low, high


def in_colours(code: NDArray[np.floating], span: Span) -> NDArray[np.float64]:
    """Display codes [3, H, W] that show the display codes [1, H, W] in viridis over a span; values outside are cut."""
    low, high = span
    return viridis((code - low) / max(high - low, 1e-6))


def to_rgb(code: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Pixels [H, W, 3] of display codes [C, H, W] in [0, 1]; C: 1 is grey, 3 RGB, 4 RGBA, which is drawn on PAPER."""
    if len(code) == 4:
        alpha, paper = code[3:], np.array(PAPER)[:, None, None] / 255
        code = code[:3] * alpha + paper * (1 - alpha)
    pixels = (code * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(np.broadcast_to(pixels, (3, *pixels.shape[1:])), 0, -1))
