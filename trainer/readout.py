"""The readout C_c: what a generated picture says as a map of type c."""

from __future__ import annotations

from torch import Tensor

from sgi.engine import intrinsics


def readout(image: Tensor, name: str) -> Tensor:
    """Display codes of a raw generator image, not clamped: a clamp has no gradient where the fit needs one.

    image: [N, 3, R, R] float32 of nominal range [-1, 1] -> u [N, C, R, R] float32 of nominal range [0, 1], where C
    is the type's number of channels; one-channel types are the mean over RGB. Raises UserError for an unknown type.
    """
    u = image * 0.5 + 0.5
    return u.mean(dim=1, keepdim=True) if intrinsics.get(name).channels == 1 else u


def clamped_readout(image: Tensor, name: str) -> Tensor:
    """`readout` clamped to [0, 1], after the mean over RGB: what is scored, exported and shown."""
    return readout(image, name).clamp(0, 1)
