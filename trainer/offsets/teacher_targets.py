"""A teacher's targets of generated pictures, on a GPU in half precision where that changes nothing that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.teachers import Teacher

TEACHER_BATCH = 32
HALF_LIMIT = 1 / 255
"""The largest difference of a code, in any pixel of the first batch, at which targets come from half precision."""


def teacher_targets(teacher: Teacher, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
    """Return a teacher's targets, type -> codes [N, C, H, W] float32, of pictures [N, C, H, W] float32 in [0, 1].

    The pictures are scaled to the teacher's input range. Grey ones, C = 1, are passed as RGB of three equal channels.
    """
    low, high = teacher.input_range
    image = image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
    return teacher(image * (high - low) + low, types)


class PoolTargets:
    """Targets of the pictures of a pool, batch by batch.

    On a GPU the first batch is computed in float32 and in half precision (`torch.autocast`, float16). If no code of any
    type differs by more than `HALF_LIMIT`, the later batches are computed in half precision only; else, and on a CPU,
    all are float32. half: whether targets come from half precision, None before the first batch.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher
        self.half: bool | None = None

    def __call__(self, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
        """See `teacher_targets`."""
        if self.half:
            return self._in_half(image, types)
        exact = teacher_targets(self._teacher, image, types)
        if self.half is None:
            # Formulas and runtimes without autocast give equal codes, and gain nothing.
            self.half = _gains(image) and 0 < self._difference(exact, image, types) <= HALF_LIMIT
        return exact

    def _in_half(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        with torch.autocast(image.device.type, torch.float16):
            found = teacher_targets(self._teacher, image, types)
        return {name: codes.float() for name, codes in found.items()}

    def _difference(self, exact: Mapping[str, Tensor], image: Tensor, types: Sequence[str]) -> float:
        """The largest difference of a code; nan or infinite if half precision fails."""
        try:
            found = self._in_half(image, types)
        except (UserError, RuntimeError):  # codes that are not finite; an operation without float16
            return math.inf
        return max(float((found[name] - exact[name]).abs().max()) for name in types)


def _gains(image: Tensor) -> bool:
    """Whether half precision is faster on the device of a picture."""
    return image.is_cuda


@torch.no_grad()
def targets_on_cpu(teacher: Teacher, images: Tensor, types: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """Return a teacher's targets [N, C, H, W] float32 on the CPU, in batches, of pictures [N, C, H, W] on any device.

    device: of the teacher. See `teacher_targets`.
    """
    parts = [teacher_targets(teacher, part.to(device), types) for part in images.split(TEACHER_BATCH)]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in types}
