"""The bundled teacher's network: a small U-Net that reads every intrinsic map off one picture of a room.

One encoder and one decoder serve all maps; what is particular to a map is a 1x1 head. Coordinate channels tell
the convolutions where they are, which tells floor from ceiling. Albedo is told as a gain on the picture plus a
correction: it is the picture over the shading, and a product is what such a network is slow to learn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sgi.engine.intrinsics import INTRINSICS, SEGMENTATION

TYPES = ("depth", "normal", "albedo", "shading")
_GAIN = "albedo gain"
MAX_WIDTH = 1024


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a U-Net.

    widths: channels of each level, finest first; each level after the first halves the resolution.
    classes: names of the segmentation classes, in label order.
    resolution: side in pixels of the square pictures it was trained on.
    mirrored: whether its answer is the mean of those for the picture and for its mirror image. Trained on rooms and
    their mirror images it errs differently on the two: on held-out rooms the mean leaves 6 to 9 % less of the variance.
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
        """The inverse of `to_dict`; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            classes=tuple(str(name) for name in values["classes"]),
            widths=tuple(int(width) for width in values["widths"]),
            resolution=int(values["resolution"]),
            mirrored=bool(values["mirrored"]),
        )


class UNet(nn.Module):
    """Picture to codes of all `TYPES` and segmentation logits."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.encoder = nn.ModuleList(
            _block(fan_in, width) for fan_in, width in zip((3 + 2, *widths[:-1]), widths, strict=True)
        )
        self.decoder = nn.ModuleList(_block(deep + width, width) for width, deep in pairwise(widths))
        rest = _resting_outputs(len(config.classes))
        self.parts = {name: len(bias) for name, bias in rest.items()}
        self.head = nn.Conv2d(widths[0], sum(self.parts.values()), 1)
        self.head.bias = nn.Parameter(torch.cat(list(rest.values())))

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

        Returns `TYPES` as [N, C, H, W] float32 codes, NOT clamped (an L1 loss needs the gradient outside of
        [0, 1]), normals of unit length, and "segmentation" as [N, classes, H, W] float32 logits.
        """
        levels = self.encode(image)
        x = levels.pop()
        for block in reversed(self.decoder):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, levels.pop()], dim=1))
        # bfloat16 has 8 bits of mantissa, as coarse as the codes' own 8 bits: the head stays in float32.
        with torch.autocast(image.device.type, enabled=False):
            parts = dict(zip(self.parts, self.head(x.float()).split(list(self.parts.values()), 1), strict=True))
        parts["normal"] = F.normalize(parts["normal"], dim=1, eps=1e-6) * 0.5 + 0.5
        parts["albedo"] = parts["albedo"] + parts.pop(_GAIN) * image
        return parts


def _resting_outputs(classes: int) -> dict[str, Tensor]:
    """What each head says of no features at all, and so where training begins.

    Mid grey, normals towards the viewer (a zero vector has no direction), the picture as albedo, no class.
    """
    rest = {name: torch.full((INTRINSICS[name].channels,), 0.5) for name in TYPES}
    rest["normal"] = torch.tensor([0.0, 0.0, 1.0])
    rest["albedo"] = torch.zeros(3)
    return rest | {SEGMENTATION: torch.zeros(classes), _GAIN: torch.ones(1)}


def _block(fan_in: int, width: int) -> nn.Sequential:
    """Twice: 3x3 convolution, batch norm, ReLU."""
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
