"""The table of a network's layers, and the two launches that compute all their styles and scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from sgi.kernels.gpu.dispatch import require, use_kernel
from sgi.kernels.gpu.packed_weights import PackedConv
from sgi.kernels.gpu.styles import reference

ROWS = 8  # of a block of `scale_kernel`
BLOCK_OUTPUTS = 32
BLOCK_IMAGES = 16
BLOCK_INPUTS = 32


@dataclass(frozen=True)
class StyleTable:
    """The columns of each of L layers in the concatenated tensors of all layers.

    starts: L + 1 columns of styles; ends: L + 1 columns of scales. start_column: starts, [L + 1] int32. table:
    [blocks, 6] int32 and column: [blocks] int32, as in `demodulate_kernel`. energy: every layer's [I, O], flat
    float32. norm: [sum of O] float32. row_table: [blocks, 6] int32 and row_energy: every layer's [O, I], flat float32,
    as in `scale_kernel`.
    """

    starts: tuple[int, ...]
    ends: tuple[int, ...]
    start_column: Tensor
    table: Tensor
    column: Tensor
    energy: Tensor
    norm: Tensor
    row_table: Tensor
    row_energy: Tensor

    @classmethod
    def of(cls, layers: Sequence[PackedConv]) -> StyleTable:
        """The table of packed convolutions, on their device."""
        device = layers[0].taps.device
        starts = tuple(accumulate((p.inputs for p in layers), initial=0))
        ends = tuple(accumulate((p.outputs for p in layers), initial=0))
        energies = tuple(accumulate((p.energy.numel() for p in layers), initial=0))
        rows, columns, row_table = [], [], []
        for i, layer in enumerate(layers):
            for column in range(0, layer.outputs, BLOCK_OUTPUTS):
                rows.append([i, starts[i], layer.inputs, energies[i], ends[i], layer.outputs])
                columns.append(column)
            for column in range(0, layer.outputs, ROWS):
                row_table.append([starts[i], layer.inputs, energies[i], ends[i], layer.outputs, column])
        return cls(
            starts=starts,
            ends=ends,
            start_column=torch.tensor(starts, dtype=torch.int32, device=device),
            table=torch.tensor(rows, dtype=torch.int32, device=device),
            column=torch.tensor(columns, dtype=torch.int32, device=device),
            energy=torch.cat([p.energy.flatten() for p in layers]),
            norm=torch.cat([p.norm for p in layers]),
            row_table=torch.tensor(row_table, dtype=torch.int32, device=device),
            row_energy=torch.cat([p.energy.T.flatten() for p in layers]),
        )

    @property
    def widest(self) -> int:
        """Largest number of inputs of a layer."""
        return max(b - a for a, b in zip(self.starts, self.starts[1:], strict=False))

    def layer(self, i: int, unit: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Views of layer i: its style [N, I] and scale [N, O]."""
        return unit[:, self.starts[i] : self.starts[i + 1]], scale[:, self.ends[i] : self.ends[i + 1]]


def all_scales(styles: Tensor, table: StyleTable, *, by_rows: bool = True) -> tuple[Tensor, Tensor]:
    """Normalised styles [N, sum of I] and scales [N, sum of O] of styles [N, sum of I] float32.

    by_rows: one launch (`row_launch`) instead of the two of this file. `reference.scales` is the definition for one
    layer; it runs where the kernels do not.
    """
    require(styles.shape[1] == table.starts[-1], f"styles {list(styles.shape)}: expected [N, {table.starts[-1]}]")
    require(styles.dtype == torch.float32 and styles.stride(1) == 1, "styles: expected float32 with unit stride")
    if not use_kernel(styles):
        return _by_reference(styles, table)
    return (launch_row_scales if by_rows else launch_scales)(styles, table)


def launch_row_scales(styles: Tensor, table: StyleTable) -> tuple[Tensor, Tensor]:
    """`all_scales` by one kernel."""
    from sgi.kernels.gpu.styles.row_launch import scales

    return scales(styles, table.row_energy, table.norm, table.row_table, table.widest, table.starts[-1])


def launch_scales(styles: Tensor, table: StyleTable) -> tuple[Tensor, Tensor]:
    """`all_scales` by the two kernels."""
    import triton

    from sgi.kernels.gpu.styles.kernel import demodulate_kernel, normalise_kernel

    n, width = styles.shape
    layers = len(table.starts) - 1
    unit = torch.empty(n, width, device=styles.device)
    peak = torch.empty(n, layers, device=styles.device)
    scale = torch.empty(n, table.ends[-1], device=styles.device)
    normalise_kernel[(layers, n)](
        styles, unit, peak, table.start_column, styles.stride(0), width, layers,
        BLOCK=triton.next_power_of_2(table.widest), num_warps=4,
    )  # fmt: skip
    demodulate_kernel[(table.column.numel(), triton.cdiv(n, BLOCK_IMAGES))](
        unit, peak, table.energy, table.norm, table.table, table.column, scale,
        n, width, layers, table.ends[-1], reference.GAIN,
        BN=BLOCK_IMAGES, BO=BLOCK_OUTPUTS, BK=BLOCK_INPUTS, num_warps=4,
    )  # fmt: skip
    return unit, scale


def _by_reference(styles: Tensor, table: StyleTable) -> tuple[Tensor, Tensor]:
    units, scales = [], []
    first = 0
    for i, (start, stop) in enumerate(zip(table.starts, table.starts[1:], strict=False)):
        outputs = table.ends[i + 1] - table.ends[i]
        energy = table.energy[first : first + (stop - start) * outputs].view(stop - start, outputs)
        first += energy.numel()
        unit, scale = reference.scales(styles[:, start:stop], energy, table.norm[table.ends[i] : table.ends[i + 1]])
        units.append(unit)
        scales.append(scale)
    return torch.cat(units, 1), torch.cat(scales, 1)
