"""The network of the bundled teacher: a small U-Net that predicts every intrinsic map from a picture of a room.

All maps share one encoder and one decoder; each has a 1x1 head of its own. Coordinate channels give the convolutions
the position of a pixel, which separates floor from ceiling. Albedo is predicted as a gain on the picture plus a
correction: it is the picture divided by the shading, and a network of this kind learns products slowly.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgi.engine import intrinsics
from sgi.engine.intrinsics import SEGMENTATION

TYPES = ("depth", "normal", "albedo", "shading")
_GAIN = "albedo gain"
MAX_WIDTH = 1024


@dataclass(frozen=True)
class UNetConfig:
    """Architecture of a U-Net.

    widths: channels of each level, finest first; each level after the first halves the resolution.
    classes: names of the segmentation classes, in label order.
    resolution: side in pixels of the square pictures it was trained on.
    mirrored: average the predictions for the picture and for its mirror image, whose errors differ. See
    docs/experiments.md, "Averaging over the mirror image".
    """

    classes: tuple[str, ...]
    widths: tuple[int, ...] = (24, 48, 96, 128)
    resolution: int = 64
    mirrored: bool = True

    def __post_init__(self) -> None:
        if not (2 <= len(self.widths) <= 8 and all(1 <= width <= MAX_WIDTH for width in self.widths)):
            raise ValueError(f"widths {self.widths}: expected 2 to 8 levels of 1 to {MAX_WIDTH} channels")
        if not 1 <= len(self.classes) <= 256:
            raise ValueError(f"{len(self.classes)} segmentation classes: expected 1 to 256")
        if self.resolution < self.multiple or self.resolution % self.multiple:
            raise ValueError(f"resolution {self.resolution}: expected a multiple of {self.multiple}")

    @property
    def multiple(self) -> int:
        """Height and width of an input must be multiples of this."""
        return 1 << (len(self.widths) - 1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetConfig:
        """The inverse of `to_dict`; raises KeyError, TypeError or ValueError for invalid values."""
        return cls(
            classes=tuple(str(name) for name in values["classes"]),
            widths=tuple(int(width) for width in values["widths"]),
            resolution=int(values["resolution"]),
            mirrored=bool(values["mirrored"]),
        )


class UNet(nn.Module):
    """From a picture to codes of all `TYPES` and segmentation logits."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.encoder = nn.ModuleList(
            _block(fan_in, width) for fan_in, width in zip((3 + 2, *widths[:-1]), widths, strict=True)
        )
        self.decoder = nn.ModuleList(_block(deep + width, width) for width, deep in pairwise(widths))
        biases = _initial_biases(len(config.classes))
        self.parts = {name: len(bias) for name, bias in biases.items()}
        self.head = nn.Conv2d(widths[0], sum(self.parts.values()), 1)
        self.head.bias = nn.Parameter(torch.cat(list(biases.values())))

    def encode(self, image: Tensor) -> list[Tensor]:
        """Activations of each level, finest first: level k is [N, widths[k], H / 2^k, W / 2^k]."""
        levels: list[Tensor] = []
        x = torch.cat([image, _coordinates(image)], dim=1)
        for block in self.encoder:
            x = block(F.avg_pool2d(x, 2) if levels else x)
            levels.append(x)
        return levels

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Codes and segmentation logits of `image` [N, 3, H, W] float32 in [0, 1].

        Returns `TYPES` as [N, C, H, W] float32 codes, not clamped (an L1 loss needs the gradient outside of [0, 1]),
        normals of unit length, and "segmentation" as [N, classes, H, W] float32 logits.
        """
        levels = self.encode(image)
        x = levels.pop()
        for block in reversed(self.decoder):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, levels.pop()], dim=1))
        # The head stays in float32: bfloat16 has 8 bits of mantissa, no more than the 8 bits of a code.
        with torch.autocast(image.device.type, enabled=False):
            parts = dict(zip(self.parts, self.head(x.float()).split(list(self.parts.values()), 1), strict=True))
        parts["normal"] = F.normalize(parts["normal"], dim=1, eps=1e-6) * 0.5 + 0.5
        parts["albedo"] = parts["albedo"] + parts.pop(_GAIN) * image
        return parts


def _initial_biases(classes: int) -> dict[str, Tensor]:
    """The initial bias of each head: its output for features of zero.

    Mid grey, normals towards the viewer (a zero vector has no direction), the picture as albedo, equal logits.
    """
    biases = {name: torch.full((intrinsics.get(name).channels,), 0.5) for name in TYPES}
    biases["normal"] = torch.tensor([0.0, 0.0, 1.0])
    biases["albedo"] = torch.zeros(3)
    return biases | {SEGMENTATION: torch.zeros(classes), _GAIN: torch.ones(1)}


def _block(fan_in: int, width: int) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by batch norm and ReLU."""
    layers: list[nn.Module] = []
    for channels in (fan_in, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)


def _coordinates(image: Tensor) -> Tensor:
    """x and y of every pixel centre, left to right and top to bottom in (-1, 1): [N, 2, H, W]."""
    count, _, height, width = image.shape
    x = (torch.arange(width, device=image.device, dtype=image.dtype) * 2 + 1) / width - 1
    y = (torch.arange(height, device=image.device, dtype=image.dtype) * 2 + 1) / height - 1
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    return grid.expand(count, -1, -1, -1)
