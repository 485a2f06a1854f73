"""The fused synthesis network: several types at once with one set of weights, two launches per resolution.

Types differ only in their affine layers, so one batch computes all of them. Leading layers whose styles are equal for
all types run once: image i of a later layer reads image i % N of the shared layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.backends.triton.packed_synthesis import PackedSynthesis, pack_synthesis
from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import baked_affines
from sgi.kernels.gpu import fused_conv, fused_up_conv, to_rgb
from sgi.kernels.gpu.styles.launch import StyleTable, all_scales


@dataclass(frozen=True)
class Selection:
    """The affine layers of the K types of one run.

    affine: [K, w_dim, S] float32, or [1, w_dim, S] if all types have the generator's; bias: [K, S] float32.
    shared_convs, shared_rgbs: number of leading layers whose styles agree in all types.
    """

    affine: Tensor
    bias: Tensor
    shared_convs: int
    shared_rgbs: int


class FusedNetwork:
    """Mapping and synthesis of a generator and K offsets, on the generator's device.

    offsets: tensors of K offsets (`offset_tensors`), on the generator's device; no tensors give the plain image.
    dtype: of weights and activations; sums, styles and colours are float32. noise_mode: none or const.
    """

    def __init__(
        self,
        generator: Generator,
        offsets: Sequence[Mapping[str, Tensor]],
        dtype: torch.dtype,
        noise_mode: str = "const",
    ) -> None:
        self.generator = generator
        self.packed: PackedSynthesis = pack_synthesis(generator, dtype, noise_mode)
        self.table = StyleTable.of([layer.packed for layer in self.packed.convs])
        layers = generator.synthesis.styled_layers()
        order = (*self.packed.conv_index, *self.packed.rgb_index)
        self.rows = [layers[i].row for i in order]
        baked = [baked_affines(generator.synthesis, tensors) for tensors in offsets]
        kinds = [[affines[layers[i].name] for i in order] for affines in baked]
        self.sizes = [len(affine.bias) for affine in kinds[0]]
        self.biases = torch.stack([torch.cat([affine.bias for affine in kind]) for kind in kinds])  # [K, S]
        matrices = [torch.cat([affine.weight for affine in kind]).T for kind in kinds]
        equal = all(torch.equal(matrix, matrices[0]) for matrix in matrices)
        self.affines = torch.stack(matrices[:1] if equal else matrices)  # [1 or K, w_dim, S]

    def select(self, kinds: Sequence[int]) -> Selection:
        """The selection of offsets, by index."""
        bias = self.biases[list(kinds)]
        affine = self.affines if len(self.affines) == 1 else self.affines[list(kinds)]
        parts = zip(affine.split(self.sizes, dim=2), bias.split(self.sizes, dim=1), strict=True)
        equal = [bool((a == a[:1]).all() and (b == b[:1]).all()) for a, b in parts]
        convs = len(self.packed.convs)
        shared_convs = _leading(equal[:convs])
        # The picture of block r depends on convolutions up to 2 r and to-rgb layers up to r.
        shared_rgbs = min(_leading(equal[convs:]), (shared_convs + 1) // 2)
        return Selection(affine, bias, shared_convs, shared_rgbs)

    def styles(self, w: Tensor, psi: Tensor, cutoff: int | None, selection: Selection) -> Tensor:
        """Styles [K * N, S] of w [N, w_dim] float32, truncated by psi [] in rows below `cutoff` (None: all)."""
        average = self.generator.mapping.w_avg
        products = (average + psi * (w - average)) @ selection.affine  # [1 or K, N, S]
        if cutoff is not None:
            plain = w @ selection.affine
            parts = zip(self.rows, products.split(self.sizes, 2), plain.split(self.sizes, 2), strict=True)
            products = torch.cat([a if row < cutoff else b for row, a, b in parts], dim=2)
        styles = products + selection.bias[:, None]
        return styles.reshape(-1, styles.shape[2])

    def render(self, styles: Tensor, selection: Selection) -> Tensor:
        """Raw pictures [K, N, C, R, R] float32 of styles [K * N, S]."""
        kinds = selection.bias.shape[0]
        total = styles.shape[0]  # K * N
        split = self.table.starts[-1]
        unit, scale = all_scales(styles[:, :split], self.table)
        rgb_styles = styles[:, split:].split(self.sizes[len(self.packed.convs) :], dim=1)
        convs, rgbs = self.packed.convs, self.packed.rgbs

        def images(index: int, shared: int) -> int:
            return total // kinds if index < shared else total

        x = self.packed.const
        styled = False  # whether x is already multiplied by the style of the layer that reads it
        img: Tensor | None = None
        for j, layer in enumerate(convs):
            n = images(j, selection.shared_convs)
            own_style, own_scale = (t[:n] for t in self.table.layer(j, unit, scale))
            block = j // 2
            fused_rgb = not layer.up and images(block, selection.shared_rgbs) == n
            # y may be multiplied by the next style if its only other reader, to-rgb, is in the same launch.
            last = j + 1 == len(convs)
            ahead = not last and images(j + 1, selection.shared_convs) == n and (layer.up or fused_rgb)
            next_style = self.table.layer(j + 1, unit, scale)[0][:n] if ahead else None
            style = None if styled else own_style
            if layer.up:
                x = fused_up_conv(
                    x, layer.packed.taps, layer.packed.phase_weights, style, own_scale, layer.noise, layer.bias,
                    layer.clamp, next_style,
                )  # fmt: skip
            else:
                rgb = rgbs[block]
                tail = (rgb_styles[block][:n], rgb.weight, rgb.bias, img, rgb.clamp) if fused_rgb else (None,) * 5
                x, fused = fused_conv(
                    x, layer.packed.taps, style, own_scale, layer.noise, layer.bias, layer.clamp, next_style,
                    *tail, write=not (last and fused_rgb),
                )  # fmt: skip
                img = fused if fused_rgb else to_rgb(x, rgb_styles[block], rgb.weight, rgb.bias, img, rgb.clamp)
            styled = ahead
        assert img is not None
        return img.view(kinds, -1, *img.shape[1:]) if img.shape[0] == total else img[None].expand(kinds, -1, -1, -1, -1)


def _leading(flags: Sequence[bool]) -> int:
    return next((i for i, flag in enumerate(flags) if not flag), len(flags))
