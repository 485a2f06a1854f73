"""The image processors of `transformers` in torch, with gradients, and the resampling of maps to the picture's size.

The library's processors work on 8-bit arrays, one picture at a time. This code reads their settings and applies them
to a batch on its device. Centre crops are omitted, so that maps cover the whole picture.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# PIL's number of a filter, which processors store -> torch's name.
_FILTERS = {2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True)
class Preprocessing:
    """The settings of an image processor.

    mean, std: of the channels, for pixels in [0, 1]. height, width: size of the network's input in pixels.
    keep_aspect: whether both sides are scaled by one factor, the one nearer to 1. shortest, longest: instead of height
    and width, the length of the shorter side and the maximum of the longer one. multiple: sides are rounded to a
    multiple of this number, or with round_up rounded up. mode: resampling filter. align_corners, reflect: used by
    ZoeDepth; reflect adds a reflected border of 3 sqrt(side / 2) pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    height: int | None = None
    width: int | None = None
    shortest: int | None = None
    longest: int | None = None
    keep_aspect: bool = False
    multiple: float = 1
    round_up: bool = False
    mode: str = "bilinear"
    align_corners: bool = False
    reflect: bool = False

    @classmethod
    def from_processor(cls, processor: Any, model_type: str) -> Preprocessing:
        """The settings of a `transformers` image processor; raises ValueError for unsupported ones."""
        size = processor.size
        # A plain dictionary in transformers 5.0, an object later.
        fetch = size.get if isinstance(size, dict) else partial(getattr, size)
        read = {name: fetch(name, None) for name in ("height", "width", "shortest_edge", "longest_edge")}
        resized = processor.do_resize
        if resized and not (read["shortest_edge"] or (read["height"] and read["width"])):
            raise ValueError(f"its image processor has the size {size}")
        if int(processor.resample) not in _FILTERS:
            raise ValueError(f"its image processor resamples by PIL's filter {processor.resample}")
        normalized = processor.do_normalize
        zoe = model_type == "zoedepth"
        divisor = getattr(processor, "size_divisor", None)
        return cls(
            mean=_three(processor.image_mean) if normalized else (0.0, 0.0, 0.0),
            std=_three(processor.image_std) if normalized else (1.0, 1.0, 1.0),
            height=read["height"] if resized else None,
            width=read["width"] if resized else None,
            shortest=read["shortest_edge"] if resized else None,
            longest=read["longest_edge"] if resized else None,
            keep_aspect=bool(getattr(processor, "keep_aspect_ratio", False)),
            multiple=divisor or getattr(processor, "ensure_multiple_of", None) or 1,
            round_up=bool(divisor),
            mode=_FILTERS[int(processor.resample)],
            align_corners=zoe,
            reflect=zoe and bool(processor.do_pad),
        )

    def __call__(self, image: Tensor) -> Tensor:
        """The network's input [N, 3, h, w] for pictures [N, 3, H, W] in [0, 1]."""
        x = image
        if self.reflect:
            down, across = self._border(image)
            x = F.pad(x, (across, across, down, down), mode="reflect")
        # PIL's filters are antialiased at every scale, including enlargement.
        options = {"antialias": True} if not self.align_corners else {"align_corners": True}
        x = F.interpolate(x, self.input_size(*x.shape[-2:]), mode=self.mode, **options)
        mean, std = (torch.tensor(values, device=x.device, dtype=x.dtype)[:, None, None] for values in self._statistics)
        return (x - mean) / std

    def to_picture_size(self, maps: Tensor, image: Tensor, mode: str) -> Tensor:
        """The network's maps [N, C, h, w] resampled to the size of `image` with filter `mode`: [N, C, H, W]."""
        height, width = image.shape[-2:]
        if not self.reflect:
            return F.interpolate(maps, (height, width), mode=mode, align_corners=False)
        down, across = self._border(image)
        maps = F.interpolate(maps, (height + 2 * down, width + 2 * across), mode=mode, align_corners=False)
        return maps[..., down : down + height, across : across + width]

    def input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the network's input for a picture of this height and width."""
        along, across = self._scales(height, width)
        return self._rounded(along * height), self._rounded(across * width)

    def facts(self) -> dict[str, Any]:
        """The settings as JSON-ready values."""
        return asdict(self)

    @property
    def _statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return self.mean, self.std

    def _scales(self, height: int, width: int) -> tuple[float, float]:
        if self.shortest:
            scale = self.shortest / min(height, width)
            if self.longest:
                scale = min(scale, self.longest / max(height, width))
            return scale, scale
        if not (self.height and self.width):
            return 1.0, 1.0
        along, across = self.height / height, self.width / width
        if self.keep_aspect:
            along = across = across if abs(1 - across) < abs(1 - along) else along
        return along, across

    def _rounded(self, side: float) -> int:
        steps = side / self.multiple
        return max(1, int((math.ceil(steps - 1e-9) if self.round_up else round(steps)) * self.multiple))

    @staticmethod
    def _border(image: Tensor) -> tuple[int, int]:
        height, width = (int(math.sqrt(side / 2) * 3) for side in image.shape[-2:])
        return height, width


def _three(values: float | list[float] | tuple[float, ...]) -> tuple[float, ...]:
    """One value for each of three channels."""
    return (float(values),) * 3 if isinstance(values, int | float) else tuple(float(value) for value in values)
