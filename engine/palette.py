"""The colours of segmentation classes: fixed, and as far apart as possible.

An offset shows a class as a colour, and a model decodes a pixel to the class of the nearest colour. So noise below half
the distance between two colours does no harm. engine/native/src/palette.cpp computes the same colours.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 256  # the largest number that an 8-bit indexed PNG can hold
_STEPS = 17  # levels per channel of the grid that colours are chosen from


@lru_cache
def palette(count: int) -> NDArray[np.float64]:
    """Colours [count, 3] in [0, 1], read-only: black, then repeatedly the colour farthest from all chosen ones.

    Farthest-point traversal (Gonzalez 1985): the least distance is at least half the largest possible one; it is 0.62
    for 15 classes and 0.19 for 150. The colours of n classes are the first n of every larger palette. Distances are
    integers, so that ties are exact: the first candidate is taken.
    """
    axis = np.arange(_STEPS)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    chosen = np.zeros((count, 3), np.int64)
    distance = np.square(grid).sum(axis=1)
    for i in range(1, count):
        chosen[i] = grid[distance.argmax()]
        distance = np.minimum(distance, np.square(grid - chosen[i]).sum(axis=1))
    colours = chosen / (_STEPS - 1)
    colours.setflags(write=False)
    return colours


def scores(colours: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(weight [K, 3], bias [K]) for which weight @ u + bias is largest at the colour nearest to u.

    |u - p|^2 = |u|^2 - 2 (p u - |p|^2 / 2), and |u|^2 is the same for all.
    """
    return colours, -0.5 * np.square(colours).sum(axis=1)


def nearest(colours: NDArray[np.float64], u: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index [..., 1, H, W] of the colour [K, 3] that is nearest to u [..., 3, H, W]; of equal ones the first."""
    index = np.zeros((*u.shape[:-3], 1, *u.shape[-2:]), np.intp)
    best = np.full(index.shape, -np.inf)
    # One class at a time: the scores of 256 classes for large pictures take gigabytes.
    for k, (weight, bias) in enumerate(zip(*scores(colours), strict=True)):
        score = (u * weight[:, None, None]).sum(axis=-3, keepdims=True) + bias
        index[score > best] = k
        np.maximum(best, score, out=best)
    return index


def border_distance(
    colours: NDArray[np.float64], u: NDArray[np.floating], label: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Distance from u [..., 3, H, W] to the border between its nearest colour and the colour of `label` [..., 1, H, W].

    Returns [..., 1, H, W] >= 0: the length of the shortest move in colour space after which both colours are equally
    near; 0 where `label` is already nearest.
    """
    own = colours[nearest(colours, u)[..., 0, :, :]]
    other = colours[label[..., 0, :, :]]
    apart = np.linalg.norm(own - other, axis=-1)
    beyond = ((np.moveaxis(u, -3, -1) - (own + other) / 2) * (own - other)).sum(axis=-1)
    return np.divide(beyond, apart, out=np.zeros_like(beyond), where=apart > 0)[..., None, :, :]
