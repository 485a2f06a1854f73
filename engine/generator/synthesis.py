"""The synthesis network: from w+ to an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.layers import ModulatedConv, ToRGB, random_normal, upsample2

NOISE_MODES = ("none", "const", "random")


class StyledLayer(NamedTuple):
    """A layer with a style: its state-dict name, its row of w+, and the module."""

    name: str
    row: int
    module: ModulatedConv | ToRGB


class Block(nn.Module):
    """The layers of one resolution: conv0 (doubles the side; absent at 4 px), conv1 and to-rgb."""

    const: Tensor
    conv0: ModulatedConv

    def __init__(self, config: GeneratorConfig, resolution: int) -> None:
        super().__init__()
        channels = config.channels(resolution)
        clamp = config.conv_clamp
        if resolution == 4:
            self.const = nn.Parameter(random_normal(channels, 4, 4))
        else:
            below = config.channels(resolution // 2)
            self.conv0 = ModulatedConv(below, channels, config.w_dim, resolution, up=True, clamp=clamp)
        self.conv1 = ModulatedConv(channels, channels, config.w_dim, resolution, up=False, clamp=clamp)
        self.torgb = ToRGB(channels, config.img_channels, config.w_dim, clamp=clamp)


class Synthesis(nn.Module):
    """StyleGAN2's synthesis network, skip architecture.

    ws: [N, num_ws, w_dim] float32 -> image [N, C, R, R] float32 of nominal range [-1, 1], not clamped.
    The i-th convolution uses row i of w+; the to-rgb of a block uses the row of the conv0 of the next block.
    Source: Karras et al., arXiv 1912.04958, figure 7; rows as in training/networks.py of stylegan2-ada-pytorch.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        for resolution in config.resolutions:
            self.add_module(f"b{resolution}", Block(config, resolution))

    def blocks(self) -> Iterator[tuple[int, Block]]:
        """Pairs (side, block), from 4 px upwards."""
        for resolution in self.config.resolutions:
            yield resolution, self.get_submodule(f"b{resolution}")  # type: ignore[misc]

    def styled_layers(self) -> list[StyledLayer]:
        """Every layer with a style, in the order of the styles of `render`."""
        shapes = self.config.styled_layers()
        return [StyledLayer(s.name, s.row, self.get_submodule(s.name.removeprefix("synthesis."))) for s in shapes]  # type: ignore[arg-type]

    def styles(self, ws: Tensor) -> list[Tensor]:
        """Affine styles of every layer, each [N, I] float32, from ws [N, num_ws, w_dim] float32."""
        return [layer.module.affine(ws[:, layer.row]) for layer in self.styled_layers()]

    def render(self, styles: list[Tensor], noise_mode: str = "const", dtype: torch.dtype = torch.float32) -> Tensor:
        """Image of styles in the order of `styled_layers`; dtype: of the convolutions, colours are float32.

        Raises ValueError for an unknown noise mode.
        """
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"`noise_mode={noise_mode}`: choose from {', '.join(NOISE_MODES)}")
        queue = iter(styles)
        batch = styles[0].shape[0]
        x = img = torch.empty(0)
        for resolution, block in self.blocks():
            if resolution == 4:
                x = block.const.to(dtype).expand(batch, -1, -1, -1)
                # NHWC is several times faster than NCHW for layers of few channels, on CPUs and on tensor cores.
                x = x.contiguous(memory_format=torch.channels_last)
            else:
                x = block.conv0(x, next(queue), noise_mode)
                img = upsample2(img)
            x = block.conv1(x, next(queue), noise_mode)
            rgb = block.torgb(x, next(queue))
            img = rgb if resolution == 4 else img + rgb
        return img

    def forward(self, ws: Tensor, noise_mode: str = "const", dtype: torch.dtype = torch.float32) -> Tensor:
        return self.render(self.styles(ws), noise_mode, dtype)
