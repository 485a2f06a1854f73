"""The convolution fused with the operations after it in inference: the product with the next layer's style, and to-rgb.

If y is multiplied by the style of the next layer before it is written, that layer is a plain GEMM, whose operands are
copied from memory to the tensor cores without a pass through registers. There is no gradient; fitting uses `ops`.
"""

from __future__ import annotations

from torch import Tensor

from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.dispatch import require
from sgi.kernels.gpu.operands import Epilogue, RgbTail
from sgi.kernels.gpu.register import register_op
from sgi.kernels.gpu.torgb import reference as torgb_reference


def _tail(
    style: Tensor | None, weight: Tensor | None, bias: Tensor | None, below: Tensor | None, clamp: float | None
) -> RgbTail | None:
    if style is None:
        return None
    require(weight is not None and bias is not None, "to-rgb: expected style, weight and bias")
    assert weight is not None
    assert bias is not None
    return RgbTail(style, weight, bias, below, clamp)


def _reference(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
    next_style: Tensor | None,
    rgb_style: Tensor | None,
    rgb_weight: Tensor | None,
    rgb_bias: Tensor | None,
    below: Tensor | None,
    rgb_clamp: float | None,
    write: bool,
    split: int,
    pair_weights: Tensor | None,
) -> tuple[Tensor, Tensor]:
    tail = _tail(rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)
    y = reference.modulated_conv(x, weight, style, scale, noise, bias, clamp)
    img = scale.new_empty(0)
    if tail is not None:
        img = torgb_reference.to_rgb(y, tail.style, tail.weight, tail.bias, tail.below, tail.clamp)
    if not write:
        return x.new_empty(0), img
    return reference.modulated(y, next_style, y.shape[0]).clone(), img


def _fake(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    rgb_style: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_bias: Tensor | None = None,
    below: Tensor | None = None,
    rgb_clamp: float | None = None,
    write: bool = True,
    split: int = 1,
    pair_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    n, height, width = scale.shape[0], x.shape[1], x.shape[2]
    y = x.new_empty(n, height, width, weight.shape[2]) if write else x.new_empty(0)
    if rgb_weight is None:
        return y, scale.new_empty(0)
    return y, scale.new_empty(n, rgb_weight.shape[0], height, width)


@register_op(reference=_reference, fake=_fake)
def fused_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None = None,
    bias: Tensor | None = None,
    clamp: float | None = None,
    next_style: Tensor | None = None,
    rgb_style: Tensor | None = None,
    rgb_weight: Tensor | None = None,
    rgb_bias: Tensor | None = None,
    below: Tensor | None = None,
    rgb_clamp: float | None = None,
    write: bool = True,
    split: int = 1,
    pair_weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """`modulated_conv`, then its output times next_style, and to-rgb of the output before that product.

    The operands are those of `modulated_conv` and `to_rgb`; next_style: [N, O] float32 or None. `style=None`: x is
    already multiplied by its style. split: parts of the inner axis, each with blocks of its own, for
    `style=None`; 1 is the undivided kernel, 0 chooses. pair_weights: [3, 4 * I, 2 * O], the same weight for the pairs
    form (`pack_conv(pairs=True)`), or None. Returns y [N, H, W, O] of x's type (empty unless `write`) and the picture
    [N, C, H, W] float32 (empty without rgb_style).
    """
    from sgi.kernels.gpu.split.launch import conv_or_split

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
    tail = _tail(rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)
    y, img = conv_or_split(x, weight, scale.shape[0], style, epilogue, tail, write, split, pair_weights)
    return x.new_empty(0) if y is None else y, scale.new_empty(0) if img is None else img
