"""The readout C_c: what a generated picture says as a map of type c."""

from __future__ import annotations

from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Kind


def readout(image: Tensor, kind: Kind) -> Tensor:
    """Display codes of a raw generator image, not clamped: a clamp has no gradient where the fit needs one.

    image: [N, 3, R, R] float32 of nominal range [-1, 1] -> u [N, C, R, R] float32 of nominal range [0, 1], where C
    is the type's number of code channels; one channel is the mean over RGB. kind: a built-in type's name, or any
    type's description. Raises UserError for an unknown name.
    """
    u = image * 0.5 + 0.5
    return u.mean(dim=1, keepdim=True) if intrinsics.get(kind).code_channels == 1 else u


def clamped_readout(image: Tensor, kind: Kind) -> Tensor:
    """`readout` clamped to [0, 1], after the mean over RGB: what is scored, exported and shown."""
    return readout(image, kind).clamp(0, 1)
