"""The readout C_c of the paper: from a generated image to the display codes of a map of type c."""

from __future__ import annotations

from torch import Tensor

from sgi.engine.intrinsics import Intrinsic, check_channels


def readout(image: Tensor, kind: Intrinsic) -> Tensor:
    """Return the display codes of a raw generator image, not clamped, because a clamp would stop gradients.

    image: [N, K, R, R] float32, nominal range [-1, 1], K the channels of the generator. Returns u [N, C, R, R] float32,
    nominal range [0, 1], where C is `kind.code_channels`; one channel is the mean over K. Raises UserError for other C.
    """
    check_channels(kind, image.shape[1])
    u = image * 0.5 + 0.5
    return u.mean(dim=1, keepdim=True) if kind.code_channels == 1 else u


def clamped_readout(image: Tensor, kind: Intrinsic) -> Tensor:
    """Return `readout` clamped to [0, 1] after the mean: the codes that are scored, exported and displayed."""
    return readout(image, kind).clamp(0, 1)
