"""Errors of a teacher on held-out rooms, beside those of a constant map.

The constant map is the mean of the true maps, or for the segmentation the most frequent class of each pixel. Of all
predictions that ignore the picture the mean map has the smallest mean square error.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from rich.table import Table
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.intrinsics import SEGMENTATION
from sgi.trainer.measures.by_type import all_errors, type_measures
from sgi.trainer.measures.metrics import mean_iou
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.teacher_training.fit_unet import RoomMaps
from sgi.trainer.teachers.teacher import Teacher
from sgi.trainer.teachers.unet_teacher import UNetTeacher

Errors = dict[str, float]
_MIOU = "segmentation_miou"


@torch.no_grad()
def held_out_errors(
    teacher: Teacher, rooms: RoomMaps, batch: int = 32, device: torch.device | str = "cpu"
) -> dict[str, Errors]:
    """Errors of `teacher` and of the constant map on all of `rooms`: {"teacher": ..., "constant": ...}.

    The measures are those of `sgi.trainer.measures.by_type` for every type that both rooms and teacher have, and for
    U-Net teachers the mean intersection over union of the segmentation.
    """
    all_indices = torch.arange(len(rooms))
    types = [name for name in teacher.types if name in TYPES]
    truth = {name: rooms.codes(name, all_indices) for name in types}
    parts = [teacher(rooms.images(indices).to(device), types) for indices in all_indices.split(batch)]
    predicted = {name: torch.cat([part[name].cpu() for part in parts]) for name in types}
    result = {
        "teacher": all_errors(predicted, truth),
        "constant": all_errors({name: constant_map(name, codes) for name, codes in truth.items()}, truth),
    }
    if isinstance(teacher, UNetTeacher):
        classes = len(teacher.classes)
        labels = rooms.segmentation(all_indices)
        predicted_labels = torch.cat(
            [teacher.segment(rooms.images(i).to(device)).argmax(1).cpu() for i in all_indices.split(batch)]
        )
        result["teacher"][_MIOU] = mean_iou(predicted_labels, labels, classes)
        most_frequent = F.one_hot(labels.long(), classes).sum(0).argmax(-1)
        result["constant"][_MIOU] = mean_iou(most_frequent.expand_as(labels), labels, classes)
    return result


def constant_map(name: str, codes: Tensor) -> Tensor:
    """The mean of codes [N, C, H, W] over the pictures, normals made unit length again; expanded to N pictures."""
    mean = codes.mean(0, keepdim=True)
    if intrinsics.get(name).decoding == "unit":
        mean = F.normalize(mean * 2 - 1, dim=1) * 0.5 + 0.5
    return mean.expand_as(codes)


def error_table(errors: dict[str, Errors]) -> Table:
    """The result of `held_out_errors` as a table for the terminal."""
    kinds = map(intrinsics.get, TYPES)
    titles = {
        key: f"{kind.name}, {measure.title}" for kind in kinds for key, measure in type_measures(kind).items()
    } | {_MIOU: f"{SEGMENTATION}, mIoU"}
    table = Table("held-out error", *errors, title=None)
    for key in next(iter(errors.values())):
        table.add_row(titles[key], *(f"{column[key]:.4f}" for column in errors.values()))
    return table
