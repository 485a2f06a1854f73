"""Colours of depth in a drawn sheet."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

NEAR, FAR = (253, 231, 37), (68, 1, 84)
"""Ends of viridis, RGB."""


def has_depth_colours(png: bytes) -> bool:
    """Whether a sheet contains both ends of the colour map of depth."""
    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    return all(np.abs(pixels - colour).sum(axis=1).min() <= 2 for colour in (NEAR, FAR))
