"""Codes of `segmentation` and `mask-CLASS` from the logits of a segmentation network.

`mask-CLASS` is the probability of the class. `segmentation` is the colour of the most probable class. It is not a
mixture of colours, because a mixture of two can be the colour of a third. Its gradient is that of the expected colour
(straight-through).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import SEGMENTATION, Intrinsic, Kind, mask_name
from sgi.trainer.teachers.map_teacher import unsupported
from sgi.trainer.teachers.teacher import Teacher


def class_types(classes: Sequence[str]) -> tuple[str, ...]:
    """Types that a segmentation into `classes` supports: `segmentation` and one mask for each distinct class name."""
    if len(classes) < 2:
        return ()
    return (SEGMENTATION, *dict.fromkeys(mask_name(label) for label in classes))


def class_codes(logits: Tensor, classes: Sequence[str], name: str) -> Tensor:
    """Codes of `name`, one of `class_types(classes)`, from logits [N, K, H, W] float32: [N, 1 or 3, H, W] in [0, 1].

    Probabilities of classes whose masks have the same name are added.
    """
    probability = logits.softmax(dim=1)
    if name != SEGMENTATION:
        member = torch.tensor([mask_name(label) == name for label in classes], device=logits.device)
        return probability[:, member].sum(dim=1, keepdim=True)
    row = intrinsics.get(SEGMENTATION).with_classes(tuple(classes))
    colours = torch.tensor(intrinsics.colours(row), dtype=logits.dtype, device=logits.device)
    expected = torch.einsum("nkhw,kc->nchw", probability, colours)
    target = colours[logits.argmax(dim=1)].permute(0, 3, 1, 2)
    return target + (expected - expected.detach())


def target_type(teacher: Teacher, kind: Kind) -> Intrinsic:
    """The description of the type `kind` with the classes of the teacher, if it is a segmentation.

    Raises UserError for a type that the teacher does not support, for a segmentation whose classes are not those of the
    teacher, and for an invalid list of classes.
    """
    intrinsic = intrinsics.get(kind)
    if intrinsic.name not in teacher.types:
        raise unsupported(teacher, intrinsic.name)
    if intrinsic.decoding == "palette" and not intrinsic.classes:
        return intrinsic.with_classes(tuple(teacher.classes))
    if intrinsic.name == SEGMENTATION and intrinsic.classes != tuple(teacher.classes):
        raise UserError(f"`teacher`: the classes of {teacher.name} are not those of the given {intrinsic.name}")
    return intrinsic
