"""The colours of segmentation classes: as far apart as colours can be, and the same for ever.

An offset shows a class as a colour and a model reads it back as the nearest one, so the distance between colours is
what noise must not cross. Torch-free.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

MAX_CLASSES = 256  # as many as an 8-bit PNG can index
_STEPS = 17  # colours a channel to choose from


@lru_cache
def palette(count: int) -> NDArray[np.float64]:
    """Colours [count, 3] in [0, 1], read-only: black first, then ever the one farthest from all before.

    Farthest-point traversal (Gonzalez 1985): within a factor of two of the largest least distance possible; 15 classes
    are 0.62 apart, 150 are 0.19. Fewer classes have the first colours of more. Integers make ties exact.
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
    """(weight [K, 3], bias [K]) such that weight @ u + bias is largest for the colour nearest to u.

    |u - p|^2 = |u|^2 - 2 (p u - |p|^2 / 2), and |u|^2 is the same for all.
    """
    return colours, -0.5 * np.square(colours).sum(axis=1)


def nearest(colours: NDArray[np.float64], u: NDArray[np.floating]) -> NDArray[np.intp]:
    """Index [..., 1, H, W] of the colour [K, 3] nearest to u [..., 3, H, W]; the first of equally near ones."""
    index = np.zeros((*u.shape[:-3], 1, *u.shape[-2:]), np.intp)
    best = np.full(index.shape, -np.inf)
    # Class by class: all scores at once are gigabytes where pictures are large and classes many.
    for k, (weight, bias) in enumerate(zip(*scores(colours), strict=True)):
        score = (u * weight[:, None, None]).sum(axis=-3, keepdims=True) + bias
        index[score > best] = k
        np.maximum(best, score, out=best)
    return index


def border_distance(
    colours: NDArray[np.float64], u: NDArray[np.floating], label: NDArray[np.integer]
) -> NDArray[np.floating]:
    """How far u [..., 3, H, W] must move to be as near to the colour of `label` [..., 1, H, W] as to its own nearest.

    Returns [..., 1, H, W] >= 0, the length of the shortest such move in colour space; 0 where `label` is nearest.
    """
    own = colours[nearest(colours, u)[..., 0, :, :]]
    other = colours[label[..., 0, :, :]]
    apart = np.linalg.norm(own - other, axis=-1)
    beyond = ((np.moveaxis(u, -3, -1) - (own + other) / 2) * (own - other)).sum(axis=-1)
    return np.divide(beyond, apart, out=np.zeros_like(beyond), where=apart > 0)[..., None, :, :]
