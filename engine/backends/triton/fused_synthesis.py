"""The fused synthesis network: pictures of styles, of several types at once, in a few launches per resolution."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.engine.backends.triton.packed_synthesis import ConvLayer, PackedSynthesis, pack_synthesis
from sgi.engine.generator.synthesis import Synthesis
from sgi.kernels.gpu import apply_styles, fused_conv, fused_up_conv, to_rgb
from sgi.kernels.gpu.dispatch import dependent_launches, use_kernel
from sgi.kernels.gpu.styles.launch import all_scales
from sgi.kernels.gpu.styles.table import StyleTable


class FusedSynthesis:
    """A generator's synthesis network on the inference kernels, on its device.

    dtype: of weights and activations; sums, styles and colours are float32. noise_mode: none or const. order: the
    layers of `Synthesis.styled_layers` in the order of the columns of styles, first all convolutions, then all to-rgb
    layers. sizes: the number of columns of each.
    """

    def __init__(self, synthesis: Synthesis, dtype: torch.dtype, noise_mode: str = "const") -> None:
        self.packed: PackedSynthesis = pack_synthesis(synthesis, dtype, noise_mode)
        self.table = StyleTable.of([layer.packed for layer in self.packed.convs])
        layers = synthesis.styled_layers()
        self.order = (*self.packed.conv_index, *self.packed.rgb_index)
        self.sizes = [layers[i].module.affine.weight.shape[0] for i in self.order]

    def render(self, styles: Tensor, kinds: int = 1, shared_convs: int = 0, shared_rgbs: int = 0) -> Tensor:
        """Raw pictures [K, N, C, R, R] float32 of styles [K * N, S], K being `kinds`.

        shared_convs, shared_rgbs: number of leading layers whose styles agree in all types.
        """
        with dependent_launches():
            return self._render(styles, kinds, shared_convs, shared_rgbs)

    def _render(self, styles: Tensor, kinds: int, shared_convs: int, shared_rgbs: int) -> Tensor:
        total = styles.shape[0]  # K * N
        split = self.table.starts[-1]
        unit, scale = all_scales(styles[:, :split], self.table)
        rgb_styles = styles[:, split:].split(self.sizes[len(self.packed.convs) :], dim=1)
        convs, rgbs = self.packed.convs, self.packed.rgbs

        def images(index: int, shared: int) -> int:
            return total // kinds if index < shared else total

        x = self.packed.const
        styled = False  # whether x is already multiplied by the style of the layer that reads it
        colours: tuple[Tensor | float | None, ...] = ()  # operands of a to-rgb layer that waits for the next styles
        img: Tensor | None = None
        for j, layer in enumerate(convs):
            n = images(j, shared_convs)
            own_style, own_scale = (t[:n] for t in self.table.layer(j, unit, scale))
            block = j // 2
            if not styled:
                x, picture = apply_styles(x, own_style, *colours)
                img = picture if colours else img
                colours = ()
            fused_rgb = not layer.up and images(block, shared_rgbs) == n
            # y may be multiplied by the next style if its only other reader, to-rgb, is in the same launch.
            last = j + 1 == len(convs)
            next_images = 0 if last else images(j + 1, shared_convs)
            ahead = next_images == n and (layer.up or fused_rgb)
            next_style = self.table.layer(j + 1, unit, scale)[0][:n] if ahead else None
            if layer.up:
                x = _up(layer, x, own_scale, next_style)
            else:
                rgb = rgbs[block]
                tail = (rgb_styles[block][:n], rgb.weight, rgb.bias, img, rgb.clamp) if fused_rgb else (None,) * 5
                x, fused = fused_conv(
                    x, layer.packed.taps, None, own_scale, layer.noise, layer.bias, layer.clamp, next_style,
                    *tail, write=not (last and fused_rgb), split=0, pair_weights=layer.packed.pair_weights,
                )  # fmt: skip
                if fused_rgb:
                    img = fused
                elif next_images == total:
                    colours = (rgb_styles[block], rgb.weight, rgb.bias, img, rgb.clamp)
                else:
                    img = to_rgb(x, rgb_styles[block], rgb.weight, rgb.bias, img, rgb.clamp)
            styled = ahead
        assert img is not None
        return img.view(kinds, -1, *img.shape[1:]) if img.shape[0] == total else img[None].expand(kinds, -1, -1, -1, -1)


def _up(layer: ConvLayer, x: Tensor, scale: Tensor, next_style: Tensor | None) -> Tensor:
    """An up-convolution of x, which is multiplied by its style, by the form for few pixels where that is faster."""
    form = None
    if use_kernel(x):
        from sgi.kernels.gpu.split.launch import prefers_taps

        form = "taps" if prefers_taps(x, len(scale), layer.packed.outputs) else None
    return fused_up_conv(
        x, layer.packed.taps, layer.packed.phase_weights, None, scale, layer.noise, layer.bias, layer.clamp, next_style,
        form,
    )  # fmt: skip
