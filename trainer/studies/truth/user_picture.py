"""A picture file as input of an inversion: its middle square at the resolution of the generator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from sgi.engine.errors import UserError


def load_picture(path: str | Path, side: int) -> Tensor:
    """The middle square of a picture file, rotated by its EXIF orientation: [3, side, side] float32 sRGB in [0, 1].

    Raises UserError for a file that is missing, not a picture, cut short, or too large.
    """
    try:
        with Image.open(path) as file:
            upright = ImageOps.exif_transpose(file).convert("RGB")
            square = ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a readable picture ({error}); use a PNG or JPEG file") from None
    return torch.from_numpy(np.asarray(square, np.float32).transpose(2, 0, 1) / 255)
