"""Launches of the products of matrices with a few vectors: mapping layers, styles of all layers, and their scales."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from sgi.kernels.gpu.dispatch import dependent_options, multiprocessors
from sgi.kernels.gpu.styles.reference import GAIN
from sgi.kernels.gpu.styles.row_kernels import affine_kernel, linear_kernel, scale_kernel
from sgi.kernels.gpu.styles.table import ROWS

PROGRAMS_PER_PROCESSOR = 4
MAX_IMAGES = 16
NO_CUTOFF = 1 << 30


def images_of(x: Tensor, row_blocks: int, n: int) -> int:
    """Vectors of a program: as many as leave `PROGRAMS_PER_PROCESSOR` programs a multiprocessor, at most 16."""
    return max(1, min(MAX_IMAGES, row_blocks * n // (PROGRAMS_PER_PROCESSOR * multiprocessors(x))))


def linear(x: Tensor, weight: Tensor, bias: Tensor, *, normalise: bool) -> Tensor:
    """lrelu(weight x + bias): [N, O] of x [N, I], weight [O, I] and bias [O], all float32; see `linear_kernel`."""
    n, inputs = x.shape
    outputs = weight.shape[0]
    y = torch.empty(n, outputs, device=x.device)
    blocks = triton.cdiv(outputs, ROWS)
    images = images_of(x, blocks, n)
    linear_kernel[(blocks, triton.cdiv(n, images))](
        x.contiguous(), weight, bias, y, n, images, CI=inputs, CO=outputs, NORMALISE=normalise, BR=ROWS,
        BK=triton.next_power_of_2(inputs), num_warps=4, **dependent_options(x),
    )  # fmt: skip
    return y


def affine(
    w: Tensor, matrix: Tensor, average: Tensor, bias: Tensor, rows: Tensor, psi: Tensor, cutoff: int | None
) -> Tensor:
    """Styles [K * N, S] of w [N, I], truncated by psi [] in rows below `cutoff` (None: all), all float32.

    matrix: [K or 1, S, I]; average: [K or 1, S], the matrix times the average w; bias: [K, S]; rows: [S] int32.
    """
    n, inputs = w.shape
    kinds, width = bias.shape
    styles = torch.empty(kinds * n, width, device=w.device)
    blocks = triton.cdiv(width, ROWS)
    images = images_of(w, blocks * len(matrix), n)
    affine_kernel[(blocks, triton.cdiv(n, images), len(matrix))](
        w.contiguous(), matrix, average, bias, rows, psi, styles, n, images, kinds,
        NO_CUTOFF if cutoff is None else cutoff, CI=inputs, S=width, ONE_MATRIX=len(matrix) == 1, BR=ROWS,
        BK=triton.next_power_of_2(inputs), num_warps=4, **dependent_options(w),
    )  # fmt: skip
    return styles


def scales(
    styles: Tensor, energy: Tensor, norm: Tensor, table: Tensor, widest: int, width: int
) -> tuple[Tensor, Tensor]:
    """Normalised styles [N, sum of I] and scales [N, sum of O]; operands as in `scale_kernel`, widest: largest I."""
    n = len(styles)
    unit = torch.empty(n, width, device=styles.device)
    scale = torch.empty(n, len(norm), device=styles.device)
    images = images_of(styles, len(table), n)
    scale_kernel[(len(table), triton.cdiv(n, images))](
        styles, energy, norm, table, unit, scale, n, images, styles.stride(0), width, len(norm), GAIN,
        BR=ROWS, BK=triton.next_power_of_2(widest), num_warps=4, **dependent_options(styles),
    )  # fmt: skip
    return unit, scale
