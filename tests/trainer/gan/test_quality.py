"""Features of pictures for the Frechet distance."""

from __future__ import annotations

import torch
from torch import nn

from sgi.trainer.gan.quality import real_features


class MetaTeacher:
    """A teacher on the device `meta`, which stands for a GPU."""

    def __init__(self) -> None:
        self.net = nn.Linear(1, 1, device="meta")
        self.devices: list[str] = []

    def features(self, image: torch.Tensor) -> torch.Tensor:
        self.devices.append(image.device.type)
        return torch.zeros(len(image), 3)


class Rooms:
    def __len__(self) -> int:
        return 6

    def images(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(indices), 3, 4, 4)


def test_rooms_are_moved_to_the_device_of_the_teacher():
    teacher = MetaTeacher()
    first, second = real_features(teacher, Rooms())  # type: ignore[arg-type]
    assert first.shape == second.shape == (3, 3)
    assert set(teacher.devices) == {"meta"}
