"""Maps in fewer pixels, so that the values stay values of their type."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.decoding import srgb_decode, srgb_encode
from sgi.engine.intrinsics import Intrinsic

_LEAST_LENGTH = 1e-6


def reduce_values(kind: Intrinsic, values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Values [C, S, S] float32 of values [C, R, R]; R where R is at most `side`, else S is `side`.

    A pixel is the mean over the area that it covers. Colours of pictures are averaged in linear light, and the means
    of unit vectors are scaled to length 1. Indices of classes have no mean: a pixel has that of the nearest one.
    """
    size = values.shape[-1]
    if size <= side:
        return values
    if kind.decoding == "palette":
        nearest = ((np.arange(side) + 0.5) * size / side).astype(int)
        return np.ascontiguousarray(values[:, nearest][:, :, nearest])
    picture = kind.name == intrinsics.IMAGE
    found = _means(srgb_decode(values) if picture else values, side)
    if picture:
        found = srgb_encode(found)
    elif kind.decoding == "unit":
        found = found / np.maximum(np.sqrt((found * found).sum(axis=0, keepdims=True)), _LEAST_LENGTH)
    return np.ascontiguousarray(found, np.float32)


def _means(values: NDArray[np.floating], side: int) -> NDArray[np.floating]:
    shares = _shares(values.shape[-1], side)
    return shares @ values @ shares.T


@lru_cache(8)
def _shares(size: int, side: int) -> NDArray[np.float32]:
    """[side, size]: the share of each pixel in the mean of each larger one."""
    edges = np.linspace(0, size, side + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    found: NDArray[np.float32] = (np.maximum(overlap, 0) * side / size).astype(np.float32)
    found.setflags(write=False)
    return found
