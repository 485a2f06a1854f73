"""A contact sheet: a teacher's predictions beside the true maps."""

from __future__ import annotations

from pathlib import Path

import torch

from sgi.engine import intrinsics
from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import SEGMENTATION
from sgi.engine.palette import palette
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.teacher_training.fit_unet import RoomMaps
from sgi.trainer.teachers.unet import TYPES
from sgi.trainer.teachers.unet_teacher import UNetTeacher


@torch.no_grad()
def write_sheet(path: str | Path, teacher: UNetTeacher, rooms: RoomMaps, count: int = 8) -> None:
    """Write a PNG, one row for each of the first `count` rooms: picture, then exact map and prediction of every type.

    Types are in the order of `TYPES`, with the segmentation last.
    """
    indices = torch.arange(min(count, len(rooms)))
    image = rooms.images(indices)
    predicted = teacher(image, (*TYPES, SEGMENTATION))
    colours = torch.tensor(palette(len(teacher.classes)), dtype=image.dtype)
    exact = {name: rooms.codes(name, indices) for name in TYPES}
    exact[SEGMENTATION] = colours[rooms.segmentation(indices).long()].movedim(-1, 1)
    columns, types = {"picture": image}, {}
    for name, maps in exact.items():
        for label, codes in ((f"{name}, exact", maps), (f"{name}, teacher", predicted[name])):
            columns[label] = codes
            types[label] = intrinsics.get(name)
    rows = {
        f"room {i}": {label: codes[i].float().numpy() for label, codes in columns.items()} for i in indices.tolist()
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(draw_sheet(rows, types))
