"""A contact sheet: a teacher's predictions beside the true maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import SEGMENTATION
from sgi.engine.palette import palette
from sgi.trainer.teacher_training.fit_unet import RoomMaps
from sgi.trainer.teachers.unet import TYPES
from sgi.trainer.teachers.unet_teacher import UNetTeacher


@torch.no_grad()
def write_sheet(path: str | Path, teacher: UNetTeacher, rooms: RoomMaps, count: int = 12, scale: int = 2) -> None:
    """Write a PNG, one row for each of the first `count` rooms: picture, then truth and prediction of every map.

    Maps are in the order of `TYPES`, with the segmentation last. scale: side of an enlarged pixel.
    """
    indices = torch.arange(min(count, len(rooms)))
    image = rooms.images(indices)
    predicted = teacher(image, (*TYPES, SEGMENTATION))
    columns = [image]
    for name in TYPES:
        columns += [rooms.codes(name, indices), predicted[name]]
    colours = torch.tensor(palette(len(teacher.classes)), dtype=image.dtype)
    columns += [colours[rooms.segmentation(indices).long()].movedim(-1, 1), predicted[SEGMENTATION]]
    strip = torch.cat([column.expand(-1, 3, -1, -1) for column in columns], dim=3)  # [N, 3, H, columns * W]
    pixels = (torch.cat(list(strip), dim=1).permute(1, 2, 0) * 255).round().byte().numpy()
    pixels = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)
    with atomic_write(path) as temporary:
        Image.fromarray(pixels).save(temporary)
