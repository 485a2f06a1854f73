"""Styles and scales of all layers of a network, in one launch."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.kernels.gpu.dispatch import require, use_kernel
from sgi.kernels.gpu.styles import reference
from sgi.kernels.gpu.styles.table import StyleTable


def all_scales(styles: Tensor, table: StyleTable) -> tuple[Tensor, Tensor]:
    """Normalised styles [N, sum of I] and scales [N, sum of O] of styles [N, sum of I] float32.

    `reference.scales` is the definition for one layer; it runs where the kernel does not.
    """
    require(styles.shape[1] == table.starts[-1], f"styles {list(styles.shape)}: expected [N, {table.starts[-1]}]")
    require(styles.dtype == torch.float32 and styles.stride(1) == 1, "styles: expected float32 with unit stride")
    if not use_kernel(styles):
        return _by_reference(styles, table)
    from sgi.kernels.gpu.styles.row_launch import scales

    return scales(styles, table.energy, table.norm, table.rows, table.widest, table.starts[-1])


def _by_reference(styles: Tensor, table: StyleTable) -> tuple[Tensor, Tensor]:
    units, scales = [], []
    first = 0
    for i, (start, stop) in enumerate(zip(table.starts, table.starts[1:], strict=False)):
        outputs = table.ends[i + 1] - table.ends[i]
        energy = table.energy[first : first + (stop - start) * outputs].view(outputs, stop - start).T
        first += energy.numel()
        unit, scale = reference.scales(styles[:, start:stop], energy, table.norm[table.ends[i] : table.ends[i + 1]])
        units.append(unit)
        scales.append(scale)
    return torch.cat(units, 1), torch.cat(scales, 1)
