"""Tiny rooms of random maps, and a tiny network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sgi.trainer.teachers.unet import TYPES, UNet, UNetConfig

CLASSES = ("floor", "wall", "bed")
CHANNELS = {"depth": 1, "normal": 3, "albedo": 3, "shading": 1}
SIZE = 16


class Rooms:
    """In-memory replacement of RoomDataset: random albedo under shading that increases from left to right."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        albedo = torch.rand(count, 3, SIZE, SIZE, generator=generator) * 0.5 + 0.5
        shading = torch.linspace(0.2, 1.0, SIZE).expand(count, 1, SIZE, SIZE)
        normal = torch.nn.functional.normalize(torch.randn(count, 3, SIZE, SIZE, generator=generator), dim=1)
        self.maps = {
            "image": albedo * shading,
            "depth": torch.rand(count, 1, SIZE, SIZE, generator=generator),
            "normal": normal * 0.5 + 0.5,
            "albedo": albedo,
            "shading": shading,
        }
        self.labels = torch.randint(len(CLASSES), (count, SIZE, SIZE), generator=generator).byte()

    def __len__(self) -> int:
        return len(self.labels)

    def images(self, indices: Tensor) -> Tensor:
        return self.maps["image"][indices]

    def codes(self, name: str, indices: Tensor) -> Tensor:
        return self.maps[name][indices]

    def segmentation(self, indices: Tensor) -> Tensor:
        return self.labels[indices]


@pytest.fixture
def rooms() -> Rooms:
    return Rooms(8, seed=1)


@pytest.fixture
def shape() -> UNetConfig:
    return UNetConfig(CLASSES, widths=(8, 12, 16), resolution=SIZE)


@pytest.fixture
def net(shape: UNetConfig) -> UNet:
    """A network of random weights with non-trivial batch statistics and non-zero outputs of all heads."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = UNet(shape)
        with torch.no_grad():
            for layer in net.modules():
                if isinstance(layer, torch.nn.BatchNorm2d):
                    layer.momentum = 1.0
            net.train()(torch.rand(4, 3, SIZE, SIZE))
            net.head.weight.normal_(std=0.5)
    assert set(CHANNELS) == set(TYPES)
    return net.eval()
