"""The modulated 3x3 convolution in plain torch: the definition that the kernel is tested against."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

LRELU_SLOPE = 0.2


def spread(x: Tensor, n: int) -> Tensor:
    """x [NX, ...] repeated to n images, image i being x[i % NX]."""
    return x if x.shape[0] == n else x.repeat(n // x.shape[0], *[1] * (x.ndim - 1))


def activation(x: Tensor, scale: Tensor, noise: Tensor | None, bias: Tensor | None, clamp: float | None) -> Tensor:
    """lrelu(x * scale + noise + bias), clamped to +-clamp; x: [N, H, W, O], scale: [N, O], noise: [1 or N, H, W]."""
    x = x * scale[:, None, None, :]
    if noise is not None:
        x = x + noise[..., None]
    if bias is not None:
        x = x + bias
    x = F.leaky_relu(x, LRELU_SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)


def accumulator(x: Tensor) -> torch.dtype:
    """Type of sums: float64 for float64 operands, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def modulated(x: Tensor, style: Tensor | None, n: int) -> Tensor:
    """style * x in x's type: [n, H, W, I] of x [NX, H, W, I] and style [n, I]."""
    x = spread(x, n)
    if style is None:
        return x
    return (x.to(accumulator(x)) * style[:, None, None, :]).to(x.dtype)


def modulated_conv(
    x: Tensor,
    weight: Tensor,
    style: Tensor | None,
    scale: Tensor,
    noise: Tensor | None,
    bias: Tensor | None,
    clamp: float | None,
) -> Tensor:
    """See `sgi.kernels.gpu.conv.ops.modulated_conv`."""
    n, inputs = scale.shape[0], x.shape[3]
    wide = accumulator(x)
    kernel = weight.view(3, 3, inputs, -1).permute(3, 2, 0, 1)
    y = F.conv2d(modulated(x, style, n).permute(0, 3, 1, 2).to(wide), kernel.to(wide), padding=1)
    return activation(y.permute(0, 2, 3, 1), scale, noise, bias, clamp).to(x.dtype).contiguous()


def input_gradient(g: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the plain convolution's input [N, H, W, I] from that of its output g [N, H, W, O]."""
    kernel = weight.view(3, 3, -1, g.shape[3]).permute(3, 2, 0, 1).to(accumulator(g))
    d = F.conv_transpose2d(g.permute(0, 3, 1, 2).to(accumulator(g)), kernel, padding=1)
    return d.permute(0, 2, 3, 1).to(g.dtype)
