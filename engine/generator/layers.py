"""Layers of StyleGAN2, with modulated inputs and demodulated outputs instead of modulated weights.

y = demod * conv(W, s * x), which has one weight for all images of a batch. Source: Karras et al., arXiv 1912.04958,
section 2.2 and appendix B.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
DEMOD_EPS = 1e-8
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def random_normal(*shape: int, std: float = 1.0) -> Tensor:
    """Normal random numbers of this shape on the default device; an uninitialised tensor on the meta device.

    On the meta device, arithmetic imports torch's compiler, which takes seconds and 170 MB.
    """
    tensor = torch.empty(shape)
    return tensor if tensor.is_meta else tensor.normal_(std=std)


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate, weight * lr / sqrt(in) and bias * lr.

    x: [N, in] float32 -> [N, out] float32; the activation is a leaky ReLU (slope 0.2, gain sqrt 2) or none.
    Source: Karras et al., arXiv 1710.10196, section 4.1.
    """

    def __init__(
        self, inputs: int, outputs: int, *, lrelu: bool = False, lr: float = 1.0, bias_init: float = 0.0
    ) -> None:
        super().__init__()
        self.lrelu = lrelu
        self.weight_gain = lr / math.sqrt(inputs)
        self.bias_gain = lr
        self.weight = nn.Parameter(random_normal(outputs, inputs, std=1.0 / lr))
        self.bias = nn.Parameter(torch.full((outputs,), float(bias_init)))

    def scaled(self) -> tuple[Tensor, Tensor]:
        """Effective weight [out, in] and bias [out], gains applied."""
        return self.weight * self.weight_gain, self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.scaled()
        y = F.linear(x, weight, bias)
        return F.leaky_relu(y, LRELU_SLOPE) * LRELU_GAIN if self.lrelu else y


def fir_kernel(like: Tensor, gain: float) -> Tensor:
    """The filter FIR_TAPS as a depthwise weight [C, 1, 4, 4] of sum `gain`, with C and dtype of like [N, C, H, W]."""
    # Created on the device, because a CUDA graph cannot contain a copy from the host.
    taps = torch.stack([torch.full((), tap, dtype=like.dtype, device=like.device) for tap in FIR_TAPS])
    kernel = torch.outer(taps, taps) * (gain / sum(FIR_TAPS) ** 2)
    return kernel.expand(like.shape[1], 1, 4, 4).contiguous()


def upsample2(img: Tensor) -> Tensor:
    """Double the side by zero insertion and the FIR filter with gain 4, as in the skip path.

    img: [N, C, H, W] -> [N, C, 2H, 2W]. Source: Karras et al., arXiv 1912.04958, figure 7 (skip).
    """
    channels = img.shape[1]
    kernel = fir_kernel(img, gain=4.0)
    return F.conv_transpose2d(img, kernel, stride=2, padding=1, groups=channels)


class ModulatedConv(nn.Module):
    """Modulated 3x3 convolution with noise, bias and leaky ReLU; `up` doubles the side.

    x: [N, I, H, W], s: [N, I] float32 -> [N, O, H', W'] in x's dtype, with H' = 2H when `up`.
    Order: conv -> demodulation -> FIR (up) -> + noise * strength -> bias -> leaky ReLU * sqrt 2 -> +-clamp.
    The gain sqrt 2 is applied to demodulation, noise and bias, because the leaky ReLU is positively homogeneous.
    Source: Karras et al., arXiv 1912.04958, section 2.2 and equation 3.
    """

    noise_const: Tensor

    def __init__(
        self, inputs: int, outputs: int, w_dim: int, resolution: int, *, up: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.up = up
        self.clamp = clamp
        self.resolution = resolution
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(random_normal(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", random_normal(resolution, resolution))

    def demodulation(self, s: Tensor) -> Tensor:
        """rsqrt(sum_i s[n,i]^2 sum_k W[o,i,k]^2 + 1e-8): [N, O] float32."""
        q = self.weight.square().sum(dim=(2, 3))  # [O, I]
        return (s.square() @ q.T + DEMOD_EPS).rsqrt()

    def noise(self, batch: int, mode: str) -> Tensor | None:
        """Noise to add, [1 or N, 1, R, R] float32, without the gain of the activation; None for mode none."""
        if mode == "none":
            return None
        if mode == "const":
            return self.noise_const[None, None] * self.noise_strength
        noise = torch.randn(batch, 1, self.resolution, self.resolution, device=self.weight.device)
        return noise * self.noise_strength

    def forward(self, x: Tensor, s: Tensor, noise_mode: str = "const") -> Tensor:
        dtype = x.dtype
        demod = (self.demodulation(s) * LRELU_GAIN).to(dtype)[:, :, None, None]
        x = x * s.to(dtype)[:, :, None, None]
        weight = self.weight.to(dtype)
        if self.up:
            # The stored weights are those of a correlation, and the transposed convolution uses them unflipped.
            x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
            x = F.conv2d(x, fir_kernel(x, gain=4.0), padding=1, groups=x.shape[1])
        else:
            x = F.conv2d(x, weight, padding=1)
        x = x * demod
        noise = self.noise(x.shape[0], noise_mode)
        if noise is not None:
            x = x + (noise * LRELU_GAIN).to(dtype)
        x = x + (self.bias * LRELU_GAIN).to(dtype)[None, :, None, None]
        x = F.leaky_relu(x, LRELU_SLOPE)
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation, with the style scaled by 1 / sqrt(I).

    x: [N, I, H, W], s: [N, I] float32 (unscaled) -> [N, C, H, W] float32.
    """

    def __init__(self, inputs: int, img_channels: int, w_dim: int, *, clamp: float | None) -> None:
        super().__init__()
        self.clamp = clamp
        self.style_gain = 1.0 / math.sqrt(inputs)
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(random_normal(img_channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, s: Tensor) -> Tensor:
        x = x * (s * self.style_gain).to(x.dtype)[:, :, None, None]
        rgb = F.conv2d(x, self.weight.to(x.dtype)).float() + self.bias[None, :, None, None]
        return rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)
