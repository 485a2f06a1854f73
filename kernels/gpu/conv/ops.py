"""The modulated convolution as a torch operator with gradients to x, style and scale."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.gradient.ops import convolution_gradient
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.register import register_op


def _fake(x: Tensor, weight: Tensor, style: Tensor | None, scale: Tensor, *_: Any) -> Tensor:
    return x.new_empty(scale.shape[0], x.shape[1], x.shape[2], weight.shape[2])


def _input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    from sgi.kernels.gpu.conv.launch import conv

    d, _ = conv(g, weight, g.shape[0], transposed=True)
    assert d is not None
    return d


@register_op(
    reference=reference.modulated_conv,
    fake=_fake,
    gradient=convolution_gradient(
        "modulated_conv_gradient", reference_step=reference.input_gradient, kernel_step=_input_gradient
    ),
)
def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
) -> Tensor:
    """Modulated 3x3 convolution with its activation: clamp(lrelu(scale * conv(weight, style * x) + noise + bias)).

    x: [NX, H, W, I], NX dividing N, image i reading x[i % NX]. weight: [9, I, O] of x's type (`pack_conv`).
    style: [N, I] float32 or None. scale: [N, O] float32: demodulation, sqrt 2 and the weight's norm.
    noise: [1 or N, H, W] float32 or None. bias: [O] float32 or None. The leaky ReLU has slope 0.2 and no gain.
    Returns [N, H, W, O] of x's type. Source: Karras et al., arXiv 1912.04958, equations 1 to 3.
    """
    from sgi.kernels.gpu.conv.launch import conv

    y, _ = conv(x, weight, scale.shape[0], style, Epilogue(scale, noise, bias, act=True, clamp=clamp))
    assert y is not None
    return y
