"""From a segmenting network's logits to codes of types: every teacher that segments tells them in this way.

`mask-CLASS` is the probability of the class. `segmentation` is the colour of the most probable class, never a mixture,
which could be the colour of a third; its gradient is that of the expected colour (straight-through).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import SEGMENTATION, Intrinsic, Kind, mask_name
from sgi.trainer.teachers import Teacher


def class_types(classes: Sequence[str]) -> tuple[str, ...]:
    """Types that a segmentation into `classes` can tell: `segmentation`, and a mask of each class, once a name."""
    if len(classes) < 2:
        return ()
    return (SEGMENTATION, *dict.fromkeys(mask_name(label) for label in classes))


def class_codes(logits: Tensor, classes: Sequence[str], name: str) -> Tensor:
    """Codes of `name`, one of `class_types(classes)`, from logits [N, K, H, W] float32: [N, 1 or 3, H, W] in [0, 1].

    Of classes whose masks have one name the probabilities add up.
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
    """The description of a type as a teacher tells it: a segmentation gets the teacher's classes.

    Raises UserError for a type the teacher cannot tell, a segmentation into other classes than the teacher's, and
    classes that no segmentation can have.
    """
    intrinsic = intrinsics.get(kind)
    if intrinsic.name not in teacher.types:
        raise UserError(f"--type {intrinsic.name}: teacher {teacher.name} tells only {', '.join(teacher.types)}")
    if intrinsic.decoding == "palette" and not intrinsic.classes:
        return intrinsic.with_classes(tuple(teacher.classes))
    if intrinsic.name == SEGMENTATION and intrinsic.classes != tuple(teacher.classes):
        raise UserError(f"--teacher: {teacher.name} segments into other classes than the {intrinsic.name} at hand")
    return intrinsic
