"""The fused network: several types at once with one set of weights, a few launches per resolution.

Types differ only in their affine layers, so one batch computes all of them. Leading layers whose styles are equal for
all types run once: image i of a later layer reads image i % N of the shared layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.backends.triton.fused_synthesis import FusedSynthesis
from sgi.engine.backends.triton.packed_mapping import PackedMapping
from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import baked_affines
from sgi.kernels.gpu.dispatch import dependent_launches, use_kernel


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
    """

    def __init__(
        self,
        generator: Generator,
        offsets: Sequence[Mapping[str, Tensor]],
        dtype: torch.dtype,
        noise_mode: str = "const",
    ) -> None:
        self.generator = generator
        self.pictures = FusedSynthesis(generator.synthesis, dtype, noise_mode)
        self.packed_mapping = PackedMapping(generator.mapping)
        layers = generator.synthesis.styled_layers()
        order = self.pictures.order
        self.rows = [layers[i].row for i in order]
        baked = [baked_affines(generator.synthesis, tensors) for tensors in offsets]
        kinds = [[affines[layers[i].name] for i in order] for affines in baked]
        self.sizes = self.pictures.sizes
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
        convs = len(self.pictures.packed.convs)
        shared_convs = _leading(equal[:convs])
        # The picture of block r depends on convolutions up to 2 r and to-rgb layers up to r.
        shared_rgbs = min(_leading(equal[convs:]), (shared_convs + 1) // 2)
        return Selection(affine, affine @ self.generator.mapping.w_avg, bias, shared_convs, shared_rgbs)

    def mapping(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        """w [N, w_dim] float32 of z [N, z_dim] and label [N, c_dim] float32."""
        with dependent_launches():
            return self.packed_mapping(z, label)

    def styles(self, w: Tensor, psi: Tensor, cutoff: int | None, selection: Selection) -> Tensor:
        """Styles [K * N, S] of w [N, w_dim] float32, truncated by psi [] in rows below `cutoff` (None: all)."""
        if use_kernel(w):
            from sgi.kernels.gpu.styles.row_launch import affine

            with dependent_launches():
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
        return self.pictures.render(styles, len(selection.bias), selection.shared_convs, selection.shared_rgbs)


def _leading(flags: Sequence[bool]) -> int:
    return next((i for i, flag in enumerate(flags) if not flag), len(flags))
