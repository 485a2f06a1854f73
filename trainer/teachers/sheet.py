"""A contact sheet of what a teacher says beside what is true, to be looked at."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sgi.engine.files import atomic_write
from sgi.trainer.teachers.fit_unet import RoomMaps
from sgi.trainer.teachers.native import UNetTeacher


@torch.no_grad()
def write_sheet(path: str | Path, teacher: UNetTeacher, rooms: RoomMaps, count: int = 12, scale: int = 2) -> None:
    """Write a PNG, one row for each of the first `count` rooms: picture, then truth and prediction of every map.

    The maps stand in the order of `teacher.types`, the segmentation last; `scale` enlarges every pixel.
    """
    indices = torch.arange(min(count, len(rooms)))
    image = rooms.images(indices)
    told = teacher(image, teacher.types)
    columns = [image]
    for name in teacher.types:
        columns += [rooms.codes(name, indices), told[name]]
    columns += [_colours(labels) for labels in (rooms.segmentation(indices), teacher.segment(image).argmax(1))]
    strip = torch.cat([column.expand(-1, 3, -1, -1) for column in columns], dim=3)  # [N, 3, H, columns * W]
    pixels = (torch.cat(list(strip), dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    pixels = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)


def _colours(labels: Tensor) -> Tensor:
    """A colour for each label [N, H, W], far from its neighbours': [N, 3, H, W] in [0, 1]."""
    palette = torch.tensor([colorsys.hsv_to_rgb(k * 0.381966 % 1, 0.75, 1 - 0.25 * (k % 3)) for k in range(256)])
    return palette[labels.long()].movedim(-1, 1)
