"""The sizes of a StyleGAN2 generator, which determine the size of every layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.offset_tensors import LayerShape

MIN_RESOLUTION = 16
MAX_RESOLUTION = 1024
MAX_MAPPING_LAYERS = 64
MAX_SIZE = 1 << 20
MAX_LATENT = 1 << 13
MAX_CLASSES = 1 << 16
_COUNTS = (
    "resolution", "z_dim", "w_dim", "c_dim", "mapping_layers", "channel_base", "channel_max", "img_channels"
)  # fmt: skip


@dataclass(frozen=True)
class GeneratorConfig:
    """Sizes of a skip-architecture StyleGAN2 generator.

    resolution: output side in pixels, a power of two from 16 to 1024.
    z_dim, w_dim: latent sizes. c_dim: number of classes, 0 for an unconditional generator.
    mapping_layers: number of fully connected layers of the mapping network; mapping_lr_multiplier: factor of their
    learning rate.
    channel_base, channel_max: a block of side r has min(channel_base // r, channel_max) channels.
    conv_clamp: activations are clamped to +-conv_clamp (the checkpoints of stylegan2-ada-pytorch), or None.

    Raises UserError for sizes that a StyleGAN2 cannot have or that exceed the limits.
    """

    resolution: int
    z_dim: int = 512
    w_dim: int = 512
    c_dim: int = 0
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    channel_base: int = 32768
    channel_max: int = 512
    img_channels: int = 3
    conv_clamp: float | None = None

    def __post_init__(self) -> None:
        lowest = {"c_dim": 0, "resolution": MIN_RESOLUTION}
        highest = {
            "mapping_layers": MAX_MAPPING_LAYERS,
            "resolution": MAX_RESOLUTION,
            "z_dim": MAX_LATENT,
            "w_dim": MAX_LATENT,
            "c_dim": MAX_CLASSES,
        }
        for name in _COUNTS:
            value = getattr(self, name)
            low, high = lowest.get(name, 1), highest.get(name, MAX_SIZE)
            # Not isinstance: a bool is an int. Headers of files can contain any values.
            if type(value) is not int or not low <= value <= high:
                raise UserError(f"`{name}={value!s:.40}`: an integer from {low} to {high} is needed")
        if self.resolution & (self.resolution - 1):
            raise UserError(f"`resolution={self.resolution}`: a power of two is needed")
        for name in ("mapping_lr_multiplier", "conv_clamp"):
            value = getattr(self, name)
            if value is None and name == "conv_clamp":
                continue
            if type(value) not in (int, float) or not 0 < value < math.inf:
                raise UserError(f"`{name}={value!s:.40}`: a positive number is needed")

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sides of the blocks in pixels, from 4 to `resolution`."""
        return tuple(2**k for k in range(2, self.resolution.bit_length()))

    @property
    def num_ws(self) -> int:
        """Rows of w+: one for each convolution and one for the last to-rgb, 2 log2(resolution) - 2."""
        return 2 * len(self.resolutions)

    def channels(self, resolution: int) -> int:
        """Channels of the block with this side."""
        return min(self.channel_base // resolution, self.channel_max)

    def styled_layers(self) -> tuple[LayerShape, ...]:
        """Every layer with a style, in the order of synthesis."""
        layers = []
        row = 0
        for resolution in self.resolutions:
            prefix = f"synthesis.b{resolution}"
            if resolution > 4:
                layers.append(LayerShape(f"{prefix}.conv0", row, self.channels(resolution // 2)))
                row += 1
            layers.append(LayerShape(f"{prefix}.conv1", row, self.channels(resolution)))
            row += 1
            # A to-rgb layer shares its row with the next block's conv0.
            layers.append(LayerShape(f"{prefix}.torgb", row, self.channels(resolution)))
        return tuple(layers)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """The config from the result of `to_dict`; raises UserError for unknown, missing and wrong fields."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UserError(f"generator config has unknown fields {', '.join(unknown)}: upgrade sgi-engine")
        if "resolution" not in values:
            raise UserError("generator config has no `resolution`: the file is not a generator")
        return cls(**values)
