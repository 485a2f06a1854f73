"""Styles and scales of all layers of a network, in one or two launches."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.kernels.gpu.dispatch import require, use_kernel
from sgi.kernels.gpu.styles import reference
from sgi.kernels.gpu.styles.table import BLOCK_OUTPUTS, StyleTable

BLOCK_IMAGES = 16
BLOCK_INPUTS = 32


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
