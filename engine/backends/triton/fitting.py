"""A generator's synthesis through the kernels with gradients, for fitting offsets."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.engine.backends.triton.packed_synthesis import pack_synthesis
from sgi.engine.generator import Generator
from sgi.kernels.gpu import modulated_conv, to_rgb, up_conv
from sgi.kernels.gpu.styles.reference import scales


class FittingSynthesis:
    """`Generator.synthesize` with gradients to ws and frozen weights; on the CPU it runs the torch references.

    dtype: of weights and activations. noise_mode: none or const.
    """

    def __init__(self, generator: Generator, dtype: torch.dtype, noise_mode: str = "const") -> None:
        self.synthesis = generator.synthesis
        self.packed = pack_synthesis(generator, dtype, noise_mode)

    def __call__(self, ws: Tensor) -> Tensor:
        """Raw picture [N, C, R, R] float32 of ws [N, num_ws, w_dim] float32."""
        styles = self.synthesis.styles(ws)
        x = self.packed.const
        img: Tensor | None = None
        for j, layer in enumerate(self.packed.convs):
            unit, scale = scales(styles[self.packed.conv_index[j]], layer.packed.energy, layer.packed.norm)
            operands = (x, layer.packed.taps, unit, scale, layer.noise, layer.bias, layer.clamp)
            if layer.up:
                x = up_conv(*operands, layer.packed.phase_weights)
                continue
            x = modulated_conv(*operands)
            rgb = self.packed.rgbs[j // 2]
            img = to_rgb(x, styles[self.packed.rgb_index[j // 2]], rgb.weight, rgb.bias, img, rgb.clamp)
        assert img is not None
        return img
