"""The fused network: several types at once with one set of weights, a few launches per resolution.

Types differ only in their affine layers, so one batch computes all of them. Leading layers whose styles are equal for
all types run once: image i of a later layer reads image i % N of the shared layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.backends.triton.options import NetworkOptions
from sgi.engine.backends.triton.packed_mapping import PackedMapping
from sgi.engine.backends.triton.packed_synthesis import ConvLayer, PackedSynthesis, pack_synthesis
from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import baked_affines
from sgi.kernels.gpu import apply_styles, fused_conv, fused_up_conv, to_rgb
from sgi.kernels.gpu.dispatch import dependent_launches, use_kernel
from sgi.kernels.gpu.styles.launch import all_scales
from sgi.kernels.gpu.styles.table import StyleTable


@dataclass(frozen=True)
class Selection:
    """The affine layers of the K types of one run.

    affine: [K, S, w_dim] float32, or [1, S, w_dim] if all types have the generator's; average: [K or 1, S] float32, its
    product with the average w; bias: [K, S] float32.
    shared_convs, shared_rgbs: number of leading layers whose styles agree in all types.
    """

    affine: Tensor
    average: Tensor
    bias: Tensor
    shared_convs: int
    shared_rgbs: int


class FusedNetwork:
    """Mapping and synthesis of a generator and K offsets, on the generator's device.

    offsets: tensors of K offsets (`offset_tensors`), on the generator's device; no tensors give the plain image.
    dtype: of weights and activations; sums, styles and colours are float32. noise_mode: none or const.
    options: forms of the computation.
    """

    def __init__(
        self,
        generator: Generator,
        offsets: Sequence[Mapping[str, Tensor]],
        dtype: torch.dtype,
        noise_mode: str = "const",
        options: NetworkOptions = NetworkOptions(),
    ) -> None:
        self.generator = generator
        self.options = options
        self.packed: PackedSynthesis = pack_synthesis(generator, dtype, noise_mode)
        self.packed_mapping = PackedMapping(generator.mapping, options.row_products)
        self.table = StyleTable.of([layer.packed for layer in self.packed.convs])
        layers = generator.synthesis.styled_layers()
        order = (*self.packed.conv_index, *self.packed.rgb_index)
        self.rows = [layers[i].row for i in order]
        baked = [baked_affines(generator.synthesis, tensors) for tensors in offsets]
        kinds = [[affines[layers[i].name] for i in order] for affines in baked]
        self.sizes = [len(affine.bias) for affine in kinds[0]]
        self.biases = torch.stack([torch.cat([affine.bias for affine in kind]) for kind in kinds])  # [K, S]
        matrices = [torch.cat([affine.weight for affine in kind]) for kind in kinds]
        equal = all(torch.equal(matrix, matrices[0]) for matrix in matrices)
        self.affines = torch.stack(matrices[:1] if equal else matrices)  # [1 or K, S, w_dim]
        row_of_style = [row for row, size in zip(self.rows, self.sizes, strict=True) for _ in range(size)]
        self.row_of_style = torch.tensor(row_of_style, dtype=torch.int32, device=self.biases.device)  # [S]

    def select(self, kinds: Sequence[int]) -> Selection:
        """The selection of offsets, by index."""
        bias = self.biases[list(kinds)]
        affine = self.affines if len(self.affines) == 1 else self.affines[list(kinds)]
        parts = zip(affine.split(self.sizes, dim=1), bias.split(self.sizes, dim=1), strict=True)
        equal = [bool((a == a[:1]).all() and (b == b[:1]).all()) for a, b in parts]
        convs = len(self.packed.convs)
        shared_convs = _leading(equal[:convs])
        # The picture of block r depends on convolutions up to 2 r and to-rgb layers up to r.
        shared_rgbs = min(_leading(equal[convs:]), (shared_convs + 1) // 2)
        return Selection(affine, affine @ self.generator.mapping.w_avg, bias, shared_convs, shared_rgbs)

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """w [N, w_dim] float32 of z [N, z_dim] and label [N, c_dim] float32."""
        with dependent_launches(self.options.dependent):
            return self.packed_mapping(z, label)

    def styles(self, w: Tensor, psi: Tensor, cutoff: int | None, selection: Selection) -> Tensor:
        """Styles [K * N, S] of w [N, w_dim] float32, truncated by psi [] in rows below `cutoff` (None: all)."""
        if self.options.row_products and use_kernel(w):
            from sgi.kernels.gpu.styles.row_launch import affine

            with dependent_launches(self.options.dependent):
                return affine(w, selection.affine, selection.average, selection.bias, self.row_of_style, psi, cutoff)
        average = self.generator.mapping.w_avg
        products = (average + psi * (w - average)) @ selection.affine.mT  # [1 or K, N, S]
        if cutoff is not None:
            plain = w @ selection.affine.mT
            products = torch.where(self.row_of_style < cutoff, products, plain)
        styles = products + selection.bias[:, None]
        return styles.reshape(-1, styles.shape[2])

    def styles_of_rows(self, ws: Tensor, selection: Selection) -> Tensor:
        """Styles [K * N, S] of ws [N, num_ws, w_dim] float32, which is not truncated.

        One product with all rows and a selection; a product for each row would be num_ws launches.
        """
        n, rows, inputs = ws.shape
        products = ws.reshape(1, n * rows, inputs) @ selection.affine.mT  # [1 or K, N * num_ws, S]
        own = self.row_of_style.long().expand(len(products), n, 1, -1)
        styles = products.unflatten(1, (n, rows)).gather(2, own)[:, :, 0] + selection.bias[:, None]
        return styles.reshape(-1, styles.shape[2])

    def render(self, styles: Tensor, selection: Selection) -> Tensor:
        """Raw pictures [K, N, C, R, R] float32 of styles [K * N, S]."""
        with dependent_launches(self.options.dependent):
            return self._render(styles, selection)

    def _render(self, styles: Tensor, selection: Selection) -> Tensor:
        kinds = selection.bias.shape[0]
        total = styles.shape[0]  # K * N
        split = self.table.starts[-1]
        unit, scale = all_scales(styles[:, :split], self.table, by_rows=self.options.row_products)
        rgb_styles = styles[:, split:].split(self.sizes[len(self.packed.convs) :], dim=1)
        convs, rgbs = self.packed.convs, self.packed.rgbs

        def images(index: int, shared: int) -> int:
            return total // kinds if index < shared else total

        x = self.packed.const
        styled = False  # whether x is already multiplied by the style of the layer that reads it
        colours: tuple[Tensor | float | None, ...] = ()  # operands of a to-rgb layer that waits for the next styles
        img: Tensor | None = None
        for j, layer in enumerate(convs):
            n = images(j, selection.shared_convs)
            own_style, own_scale = (t[:n] for t in self.table.layer(j, unit, scale))
            block = j // 2
            if self.options.copies and not styled:
                x, picture = apply_styles(x, own_style, *colours)
                img, styled = picture if colours else img, True
                colours = ()
            fused_rgb = not layer.up and images(block, selection.shared_rgbs) == n
            # y may be multiplied by the next style if its only other reader, to-rgb, is in the same launch.
            last = j + 1 == len(convs)
            next_images = 0 if last else images(j + 1, selection.shared_convs)
            ahead = next_images == n and (layer.up or fused_rgb)
            next_style = self.table.layer(j + 1, unit, scale)[0][:n] if ahead else None
            style = None if styled else own_style
            if layer.up:
                x = self._up(layer, x, style, own_scale, next_style)
            else:
                rgb = rgbs[block]
                tail = (rgb_styles[block][:n], rgb.weight, rgb.bias, img, rgb.clamp) if fused_rgb else (None,) * 5
                x, fused = fused_conv(
                    x, layer.packed.taps, style, own_scale, layer.noise, layer.bias, layer.clamp, next_style,
                    *tail, write=not (last and fused_rgb), split=0 if self.options.split else 1,
                )  # fmt: skip
                if fused_rgb:
                    img = fused
                elif self.options.copies and next_images == total:
                    colours = (rgb_styles[block], rgb.weight, rgb.bias, img, rgb.clamp)
                else:
                    img = to_rgb(x, rgb_styles[block], rgb.weight, rgb.bias, img, rgb.clamp)
            styled = ahead
        assert img is not None
        return img.view(kinds, -1, *img.shape[1:]) if img.shape[0] == total else img[None].expand(kinds, -1, -1, -1, -1)

    def _up(
        self, layer: ConvLayer, x: Tensor, style: Tensor | None, scale: Tensor, next_style: Tensor | None
    ) -> Tensor:
        """An up-convolution, by the form for few pixels where that is faster."""
        form = None
        if self.options.split and style is None and use_kernel(x):
            from sgi.kernels.gpu.split.launch import prefers_taps

            form = "taps" if prefers_taps(x, len(scale), layer.packed.outputs) else None
        return fused_up_conv(
            x, layer.packed.taps, layer.packed.phase_weights, style, scale, layer.noise, layer.bias, layer.clamp,
            next_style, form,
        )  # fmt: skip


def _leading(flags: Sequence[bool]) -> int:
    return next((i for i, flag in enumerate(flags) if not flag), len(flags))
