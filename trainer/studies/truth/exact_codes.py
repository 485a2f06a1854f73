"""The types that the renderer has exact maps of, and their codes: surfaces, light, and the class of every pixel."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from sgi.engine.intrinsics import IMAGE, SEGMENTATION, Intrinsic
from sgi.trainer.scenes import CLASSES, Maps
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.teachers.classes import class_codes, class_types

# The logit of the true class: large enough that softmax is exactly 1 and 0 in float32.
_CERTAIN = 200.0


def is_exact(kind: Intrinsic) -> bool:
    """Whether rooms have an exact map of a type; a segmentation must have the rooms' own classes."""
    if kind.name == SEGMENTATION:
        return kind.classes == CLASSES
    return kind.name != IMAGE and kind.name in (*TYPES, *class_types(CLASSES))


def exact_codes(maps: Maps, kind: Intrinsic) -> Tensor:
    """Codes [N, C, S, S] float32 in [0, 1] of a type that `is_exact`."""
    if kind.name in TYPES:
        return maps.codes(kind.name)
    labels = F.one_hot(maps.segmentation.long(), len(CLASSES)).movedim(-1, 1)
    return class_codes(labels * _CERTAIN, CLASSES, kind.name)
