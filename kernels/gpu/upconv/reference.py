"""The up-convolution in plain torch: transposed convolution of stride 2, then the low-pass filter.

The definition that the kernels are tested against.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sgi.kernels.gpu.conv.reference import accumulator, activation, modulated
from sgi.kernels.gpu.packed_weights import fir_taps


def transposed(x: Tensor, weight: Tensor) -> Tensor:
    """Transposed convolution of stride 2: [N, 2 H + 1, 2 W + 1, O] of x [N, H, W, I] and weight [9, I, O]."""
    kernel = weight.view(3, 3, x.shape[3], -1).permute(2, 3, 0, 1)
    return F.conv_transpose2d(x.permute(0, 3, 1, 2), kernel, stride=2).permute(0, 2, 3, 1)


def fir(t: Tensor, pad: int) -> Tensor:
    """The separable filter [1, 3, 3, 1] of gain 4: [N, H + 2 pad - 3, W + 2 pad - 3, C] of t [N, H, W, C]."""
    kernel = fir_taps(t).expand(t.shape[3], 1, 4, 4)
    return F.conv2d(t.permute(0, 3, 1, 2), kernel, padding=pad, groups=t.shape[3]).permute(0, 2, 3, 1)


def up_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
    phase_weights: Tensor | None = None,
    form: str | None = None,
) -> Tensor:
    """See `sgi.kernels.gpu.upconv.ops.up_conv`; phase_weights and form do not change the result and are not used."""
    wide = accumulator(x)
    t = transposed(modulated(x, style, scale.shape[0]).to(wide), weight.to(wide))
    return activation(fir(t, pad=1), scale, noise, bias, clamp).to(x.dtype).contiguous()


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the input [N, H, W, I] from that of the filtered output g [N, 2 H, 2 W, O]."""
    wide = g.to(accumulator(g))
    kernel = weight.view(3, 3, -1, g.shape[3]).permute(2, 3, 0, 1).to(wide)
    return F.conv2d(fir(wide, pad=2).permute(0, 3, 1, 2), kernel, stride=2).permute(0, 2, 3, 1).to(g.dtype)
