"""Styles of several types applied to features that the types share, with their to-rgb layers, for inference."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sgi.kernels.gpu.conv.reference import modulated
from sgi.kernels.gpu.dispatch import require
from sgi.kernels.gpu.operands import RgbTail
from sgi.kernels.gpu.register import register_op
from sgi.kernels.gpu.torgb import reference


def _reference(
    x: Tensor,
    next_style: Tensor,
    rgb_style: Tensor | None,
    rgb_weight: Tensor | None,
    rgb_bias: Tensor | None,
    below: Tensor | None,
    rgb_clamp: float | None,
) -> tuple[Tensor, Tensor]:
    y = modulated(x, next_style, next_style.shape[0])
    if rgb_style is None or rgb_weight is None or rgb_bias is None:
        return y, next_style.new_empty(0)
    return y, reference.to_rgb(x, rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)


def _fake(
    x: Tensor, next_style: Tensor, rgb_style: Tensor | None = None, rgb_weight: Tensor | None = None, *_: Any
) -> tuple[Tensor, Tensor]:
    n, height, width = next_style.shape[0], x.shape[1], x.shape[2]
    y = x.new_empty(n, *x.shape[1:])
    if rgb_weight is None:
        return y, next_style.new_empty(0)
    return y, next_style.new_empty(n, rgb_weight.shape[0], height, width)


@register_op(reference=_reference, fake=_fake)
def apply_styles(
    x: Tensor,
    next_style: Tensor,
    rgb_style: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_bias: Tensor | None = None,
    below: Tensor | None = None,
    rgb_clamp: float | None = None,
) -> tuple[Tensor, Tensor]:
    """x times the style of each image, and `to_rgb` of x; x is read once.

    x: [NX, H, W, I], NX dividing N, image i being x[i % NX]. next_style: [N, I] float32. The other operands are those
    of `to_rgb`; without rgb_style there is no picture. Returns y [N, H, W, I] of x's type and the picture
    [N, C, H, W] float32 (empty without rgb_style).
    """
    from sgi.kernels.gpu.torgb import launch

    tail = None
    if rgb_style is not None:
        require(rgb_weight is not None and rgb_bias is not None, "to-rgb: expected style, weight and bias")
        assert rgb_weight is not None
        assert rgb_bias is not None
        tail = RgbTail(rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)
    y, img = launch.apply_styles(x, next_style, tail)
    return y, next_style.new_empty(0) if img is None else img
