"""The shared base of teachers: checks of pictures, types and codes, and the hash of a teacher's content."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.teachers.teacher import Teacher

# Resampling and 8-bit rounding may overshoot a little; a picture in [-1, 1] overshoots a lot.
_RANGE_SLACK = 1e-3


class MapTeacher(ABC):
    """A Teacher (see sgi.trainer.teachers) without features that takes sRGB pictures in [0, 1].

    name, sha256, types, classes, resolution: as in `Teacher`. notes: how pictures are preprocessed and how outputs
    become codes, in words, by topic. chunk: most pictures of one forward pass; None is the whole batch.
    """

    input_range = (0.0, 1.0)
    chunk: int | None = None

    def __init__(
        self,
        name: str,
        sha256: str,
        types: Sequence[str],
        classes: Sequence[str] = (),
        resolution: int | None = None,
        notes: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.sha256 = sha256
        self.types = tuple(types)
        self.classes = tuple(classes)
        self.resolution = resolution
        self.notes = dict(notes or {})

    @abstractmethod
    def codes(self, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
        """Codes [N, C, H, W] float32 of `types` for `image`; both are checked. Values need not be clamped."""

    def __call__(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        """Codes [N, C, H, W] float32 in [0, 1] of `types` for `image` [N, 3, H, W] float32 sRGB in [0, 1].

        Raises UserError for an unsupported type and for codes that are not finite, ValueError for a picture of
        another shape or range.
        """
        for name in types:
            if name not in self.types:
                raise unsupported(self, name)
        parts = [self.codes(part, types) for part in checked(image, self.name).split(self.chunk or len(image))]
        target = {name: torch.cat([part[name] for part in parts]) for name in types}
        for name in types:
            if not torch.isfinite(target[name]).all():
                raise UserError(f"teacher {self.name}: its {name} is not finite; its file may be damaged")
        return {name: target[name].clamp(0, 1) for name in types}

    def features(self, image: Tensor) -> Tensor:
        """Raise UserError, because only U-Net teachers have features."""
        raise UserError(f"teacher {self.name} has no features; use `bundled` for distances between sets of pictures")


def checked(image: Tensor, name: str, multiple: int = 1) -> Tensor:
    """`image`, if it is [N, 3, H, W] in [0, 1] and its sides are multiples of `multiple`; else raises ValueError."""
    if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] % multiple or image.shape[3] % multiple:
        raise ValueError(
            f"teacher {name}: expected [N, 3, H, W] with H and W multiples of {multiple}, got {list(image.shape)}"
        )
    low, high = torch.aminmax(image.detach())
    if not (low >= -_RANGE_SLACK and high <= 1 + _RANGE_SLACK):
        raise ValueError(f"teacher {name}: expected values in [0, 1], got {low:.3f} to {high:.3f}")
    return image


def unsupported(teacher: Teacher, kind: str) -> UserError:
    """The error for a type that a teacher does not support."""
    return UserError(f"`types={kind}`: teacher {teacher.name} supports only {', '.join(teacher.types)}")


def content_sha256(facts: Mapping[str, Any], tensors: Iterable[tuple[str, Tensor]] = ()) -> str:
    """SHA-256 (64 hex digits) of JSON-ready `facts` and named weights; it does not depend on their file."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{name}:{plain.dtype}:{list(plain.shape)}".encode())
        digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
