"""The up-convolution as a torch operator with gradients to x, style and scale."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from sgi.kernels.gpu.gradient.ops import convolution_gradient
from sgi.kernels.gpu.operands import Epilogue
from sgi.kernels.gpu.register import register_op
from sgi.kernels.gpu.upconv import reference


def _fake(x: Tensor, weight: Tensor, style: Tensor | None, scale: Tensor, *_: Any) -> Tensor:
    return x.new_empty(scale.shape[0], 2 * x.shape[1], 2 * x.shape[2], weight.shape[2])


def _input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    from sgi.kernels.gpu.conv.launch import conv
    from sgi.kernels.gpu.upconv.launch import fir

    d, _ = conv(fir(g, pad=2), weight, g.shape[0], stride=2, transposed=True)
    assert d is not None
    return d


@register_op(
    reference=reference.up_conv,
    fake=_fake,
    gradient=convolution_gradient(
        "up_conv_gradient", reference_step=reference.input_gradient, kernel_step=_input_gradient
    ),
)
def up_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None = None,
    phase_weights: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    """Modulated up-convolution with its activation: clamp(lrelu(scale * FIR(convT(weight, style * x)) + noise + bias)).

    x: [NX, H, W, I], NX dividing N, image i reading x[i % NX]. weight: [9, I, O] of x's type. phase_weights:
    [9, I, 4 * O], the same weight with the filter folded in (`pack_conv(up=True)`), or None. form: "fir", "phases",
    "fused" or None to choose. style: [N, I] float32 or None. scale: [N, O] float32. noise: [1 or N, 2 H, 2 W] float32
    or None. Returns [N, 2 H, 2 W, O] of x's type. Source: Karras et al., arXiv 1912.04958, section 2 and appendix B.
    """
    from sgi.kernels.gpu.upconv import launch

    epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp)
    return launch.up_conv(x, weight, phase_weights, scale.shape[0], style, epilogue, form)
