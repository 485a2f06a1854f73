"""The table of a network's layers: their columns in the tensors of all layers, and the blocks of the launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from sgi.kernels.gpu.packed_weights import PackedConv

ROWS = 4  # of a block of `scale_kernel`


@dataclass(frozen=True)
class StyleTable:
    """The columns of each of L layers in the concatenated tensors of all layers.

    starts: L + 1 columns of styles; ends: L + 1 columns of scales. norm: [sum of O] float32. rows: [blocks, 6] int32
    and energy: every layer's [O, I], flat float32, as in `scale_kernel`.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    norm: Tensor
    rows: Tensor
    energy: Tensor

    @classmethod
    def of(cls, layers: Sequence[PackedConv]) -> StyleTable:
        """The table of packed convolutions, on their device."""
        device = layers[0].taps.device
        starts = tuple(accumulate((p.inputs for p in layers), initial=0))
        ends = tuple(accumulate((p.outputs for p in layers), initial=0))
        energies = tuple(accumulate((p.energy.numel() for p in layers), initial=0))
        rows = [
            [starts[i], layer.inputs, energies[i], ends[i], layer.outputs, column]
            for i, layer in enumerate(layers)
            for column in range(0, layer.outputs, ROWS)
        ]
        return cls(
            starts=starts,
            ends=ends,
            norm=torch.cat([p.norm for p in layers]),
            rows=torch.tensor(rows, dtype=torch.int32, device=device),
            energy=torch.cat([p.energy.T.flatten() for p in layers]),
        )

    @property
    def widest(self) -> int:
        """Largest number of inputs of a layer."""
        return max(b - a for a, b in zip(self.starts, self.starts[1:], strict=False))

    def layer(self, i: int, unit: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Views of layer i: its style [N, I] and scale [N, O]."""
        return unit[:, self.starts[i] : self.starts[i + 1]], scale[:, self.ends[i] : self.ends[i + 1]]
