"""A synthesis network through the kernels with gradients, for fitting offsets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sgi.engine.backends.triton.packed_synthesis import pack_synthesis
from sgi.engine.generator.synthesis import Synthesis
from sgi.kernels.gpu import modulated_conv, to_rgb, up_conv
from sgi.kernels.gpu.styles.reference import scales


class FittingSynthesis:
    """`Synthesis` with gradients to its styles and frozen weights; on the CPU it runs the torch references.

    dtype: of weights and activations. noise_mode: none or const.
    """

    def __init__(self, synthesis: Synthesis, dtype: torch.dtype, noise_mode: str = "const") -> None:
        self.synthesis = synthesis
        self.packed = pack_synthesis(synthesis, dtype, noise_mode)

    def __call__(self, ws: Tensor) -> Tensor:
        """Raw picture [N, C, R, R] float32 of ws [N, num_ws, w_dim] float32."""
        return self.render(self.synthesis.styles(ws))

    def render(self, styles: Sequence[Tensor]) -> Tensor:
        """Raw picture [N, C, R, R] float32 of styles [N, I] float32 in the order of `Synthesis.styled_layers`."""
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
