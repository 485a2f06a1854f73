"""Operands of the launchers, and checks of their shapes, which the kernels do not check."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.kernels.gpu.dispatch import require


@dataclass(frozen=True)
class Epilogue:
    """Operands of a convolution's epilogue: y = clamp(lrelu(sum * scale + noise + bias)) * next_style.

    scale, next_style: [N, O] float32 with unit stride along O; noise: [1 or N, H, W] float32; bias: [O] float32.
    act: whether the leaky ReLU is applied. None leaves an operand out.
    """

    scale: Tensor | None = None
    noise: Tensor | None = None
    bias: Tensor | None = None
    act: bool = False
    clamp: float | None = None
    next_style: Tensor | None = None

    def check(self, n: int, height: int, width: int, outputs: int) -> None:
        """Raise ValueError for tensors that do not fit outputs [n, height, width, outputs]."""
        for name, vector in (("scale", self.scale), ("next_style", self.next_style)):
            check_vectors(name, vector, n, outputs)
        if self.noise is not None:
            fits = self.noise.shape[0] in (1, n) and self.noise.shape[1:] == (height, width)
            require(fits and self.noise.is_contiguous(), f"noise {list(self.noise.shape)}: expected [1 or {n}, H, W]")
        if self.bias is not None:
            require(self.bias.shape == (outputs,) and self.bias.is_contiguous(), f"bias: expected [{outputs}]")

    @property
    def noise_stride(self) -> int:
        """Distance between the noise of two images in elements, 0 if all images share it."""
        return 0 if self.noise is None or self.noise.shape[0] == 1 else self.noise[0].numel()


@dataclass(frozen=True)
class RgbTail:
    """A to-rgb layer fused into a convolution's epilogue, and the picture of the resolution below.

    style: [N, O] float32; weight: [C, O] float32 with the layer's gain; bias: [C] float32;
    below: [NB, C, H / 2, W / 2] float32 or None at 4 px; image i adds below[i % NB].
    """

    style: Tensor
    weight: Tensor
    bias: Tensor
    below: Tensor | None = None
    clamp: float | None = None

    def check(self, n: int, height: int, width: int, inputs: int) -> None:
        """Raise ValueError for tensors that do not fit features [n, height, width, inputs]."""
        check_vectors("to-rgb style", self.style, n, inputs)
        channels = self.weight.shape[0]
        require(
            self.weight.shape == (channels, inputs) and self.weight.is_contiguous(), "to-rgb weight: expected [C, O]"
        )
        require(self.bias.shape == (channels,), "to-rgb bias: expected [C]")
        if self.below is not None:
            require(height % 2 == 0 and width % 2 == 0, "a picture below: sides must be even")
            require(self.below.shape[1:] == (channels, height // 2, width // 2), "below: expected half the side")
            require(n % self.below.shape[0] == 0 and self.below.is_contiguous(), "below: batch must divide N")


def check_vectors(name: str, vectors: Tensor | None, n: int, channels: int) -> None:
    """Raise ValueError unless vectors are [n, channels] float32 with unit stride along channels, or None."""
    if vectors is not None:
        require(vectors.shape == (n, channels), f"{name} {list(vectors.shape)}: expected [{n}, {channels}]")
        require(vectors.dtype == torch.float32 and vectors.stride(1) == 1, f"{name}: expected float32, unit stride")


def check_images(x: Tensor, weight: Tensor, n: int) -> None:
    """Raise ValueError unless x [NX, H, W, I] is contiguous, of weight's type, and NX divides n."""
    require(x.ndim == 4 and x.is_contiguous(), "x: expected contiguous [N, H, W, I]")
    require(weight.is_contiguous() and weight.dtype == x.dtype, f"weight: expected contiguous {x.dtype}")
    require(n % x.shape[0] == 0, f"x has {x.shape[0]} images, which do not divide {n}")


def row_stride(vectors: Tensor | None) -> int:
    """Distance between the vectors of two images in elements; vectors may be slices of a wider tensor."""
    return 0 if vectors is None else vectors.stride(0)
