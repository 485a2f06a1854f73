"""The colour map of previews of depth: viridis, perceptually uniform, so that equal steps of depth look equal."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Every 16th entry of matplotlib's viridis (CC0, van der Walt and Smith 2015); linear between them, within 6 / 255.
_ANCHORS = np.array(
    [
        (68, 1, 84), (72, 24, 106), (71, 45, 123), (66, 64, 134), (59, 82, 139), (51, 99, 141), (44, 114, 142),
        (38, 130, 142), (33, 145, 140), (31, 159, 136), (39, 173, 129), (60, 188, 116), (92, 200, 99), (129, 211, 77),
        (170, 220, 50), (213, 226, 26), (253, 231, 37),
    ]
)  # fmt: skip


def viridis(share: NDArray[np.floating]) -> NDArray[np.float64]:
    """Colours [3, H, W] in [0, 1] of numbers [1, H, W] in [0, 1]: 0 is dark violet, 1 is yellow."""
    places = np.linspace(0, 1, len(_ANCHORS))
    return np.concatenate([np.interp(share, places, channel / 255) for channel in _ANCHORS.T])
