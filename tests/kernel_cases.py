"""Operands for the kernels' tests, and the comparison with a float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import interpreter
import torch
from tolerances import RMS_BF16, RMS_FP16, RMS_FP32
from torch import Tensor

from sgi.kernels.gpu import pack_conv

RMS = {torch.float32: RMS_FP32, torch.float16: RMS_FP16, torch.bfloat16: RMS_BF16}
DTYPES = [torch.float32, torch.float16, torch.bfloat16]


Shape = tuple[int, int, int, int, int, int]
"""N, images of x, height, width, input channels, output channels."""


@dataclass(frozen=True)
class Layer:
    """Operands of a modulated convolution; `arguments` returns them in the operators' order."""

    x: Tensor
    weight: Tensor
    phase_weights: Tensor | None
    style: Tensor | None
    scale: Tensor
    noise: Tensor | None
    bias: Tensor | None
    clamp: float | None

    def arguments(self) -> tuple[Any, ...]:
        return self.x, self.weight, self.style, self.scale, self.noise, self.bias, self.clamp

    def without(self, *names: str) -> Layer:
        absent: dict[str, Any] = dict.fromkeys(names)
        return replace(self, **absent)


def layer(
    n: int, nx: int, height: int, width: int, inputs: int, outputs: int, dtype: torch.dtype, up: bool = False
) -> Layer:
    """Random operands, all present; noise differs between images, and the clamp affects a tenth of the values."""
    torch.manual_seed(0)
    packed = pack_conv(torch.randn(outputs, inputs, 3, 3), dtype, up=up)
    factor = 2 if up else 1

    def on_device(t: Tensor) -> Tensor:
        return t.to(interpreter.DEVICE)

    return Layer(
        x=on_device(torch.randn(nx, height, width, inputs).to(dtype)),
        weight=on_device(packed.taps),
        phase_weights=None if packed.phase_weights is None else on_device(packed.phase_weights),
        style=on_device(torch.randn(n, inputs)),
        scale=on_device(torch.rand(n, outputs) + 0.5),
        noise=on_device(torch.randn(n, height * factor, width * factor)),
        bias=on_device(torch.randn(outputs)),
        clamp=2.0,
    )


def wide(arguments: Sequence[Any]) -> list[Any]:
    """The same operands in float64, which represents the kernels' inputs exactly."""
    return [a.double() if isinstance(a, Tensor) else a for a in arguments]


def rms_ratio(value: Tensor, reference: Tensor) -> float:
    """RMS of the difference over RMS of the reference; not finite if the value is not."""
    assert value.shape == reference.shape
    return float((value.double() - reference.double()).norm() / reference.double().norm())


def gradients(function: Callable[..., Tensor], arguments: Sequence[Any], wanted: Sequence[int]) -> list[Tensor]:
    """Gradients of a fixed random projection of function(*arguments) to the wanted arguments."""
    leaves = list(arguments)
    for i in wanted:
        leaves[i] = leaves[i].detach().clone().requires_grad_()
    y = function(*leaves)
    random = torch.Generator().manual_seed(1)
    probe = torch.randn(y.shape, generator=random, dtype=torch.float32).to(y)
    return list(torch.autograd.grad(y, [leaves[i] for i in wanted], probe))
