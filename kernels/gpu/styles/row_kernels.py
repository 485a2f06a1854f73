"""Products of float32 matrices with a few vectors: the mapping network, affine layers and demodulations.

A program keeps some rows of a matrix in registers and multiplies them by one vector after another. At small batches the
time is that of reading the matrices, so the rows are loaded before the program waits for the vectors.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait


@triton.jit(do_not_specialize=["n", "images"])
def linear_kernel(
    x_ptr,  # [N, I] float32
    w_ptr,  # [O, I] float32
    bias_ptr,  # [O] float32
    y_ptr,  # [N, O] float32
    n,  # vectors N
    images,  # vectors of a program
    CI: tl.constexpr,  # inputs I
    CO: tl.constexpr,  # outputs O
    NORMALISE: tl.constexpr,  # whether x is divided by the root of its mean square
    PDL: tl.constexpr,  # programmatic dependent launch
    BR: tl.constexpr,  # rows of the matrix of a program
    BK: tl.constexpr,  # at least I
):
    """y = lrelu(W x + bias), a layer of the mapping network; gains are in W and bias."""
    o_o = tl.program_id(0) * BR + tl.arange(0, BR)
    o_k = tl.arange(0, BK)
    m_o = o_o < CO
    m_k = o_k < CI
    b_w = tl.load(w_ptr + o_o[:, None] * CI + o_k[None, :], mask=m_o[:, None] & m_k[None, :], other=0.0)
    b_bias = tl.load(bias_ptr + o_o, mask=m_o, other=0.0)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    first = tl.program_id(1) * images
    for i_n in range(first, tl.minimum(first + images, n)):
        b_x = tl.load(x_ptr + i_n * CI + o_k, mask=m_k, other=0.0)
        b_y = tl.sum(b_w * b_x[None, :], axis=1)
        if NORMALISE:
            b_y *= tl.rsqrt(tl.sum(b_x * b_x, axis=0) / CI + 1e-8)
        b_y += b_bias
        tl.store(y_ptr + i_n * CO + o_o, tl.where(b_y >= 0, b_y, b_y * 0.2), mask=m_o)


@triton.jit(do_not_specialize=["n", "images", "kinds", "cutoff"])
def affine_kernel(
    w_ptr,  # [N, I] float32
    a_ptr,  # [K or 1, S, I] float32
    average_ptr,  # [K or 1, S] float32: the product of the matrix with the average w
    bias_ptr,  # [K, S] float32
    row_ptr,  # [S] int32: row of w+ of each style
    psi_ptr,  # [] float32
    styles_ptr,  # [K * N, S] float32
    n,  # vectors N
    images,  # vectors of a program
    kinds,  # K
    cutoff,  # rows below it are truncated
    CI: tl.constexpr,  # inputs I
    S: tl.constexpr,  # styles of all layers
    ONE_MATRIX: tl.constexpr,  # whether all kinds have the same matrix
    PDL: tl.constexpr,
    BR: tl.constexpr,
    BK: tl.constexpr,
):
    """styles = A (average + psi (w - average)) + bias in truncated rows, A w + bias in the others.

    A (average + psi (w - average)) = psi A w + (1 - psi) A average, so one product serves both.
    """
    o_s = tl.program_id(0) * BR + tl.arange(0, BR)
    o_k = tl.arange(0, BK)
    m_s = o_s < S
    m_k = o_k < CI
    i_a = tl.program_id(2)
    p_a = a_ptr + i_a.to(tl.int64) * (S * CI) + o_s[:, None] * CI + o_k[None, :]
    b_a = tl.load(p_a, mask=m_s[:, None] & m_k[None, :], other=0.0)
    b_average = tl.load(average_ptr + i_a * S + o_s, mask=m_s, other=0.0)
    truncated = tl.load(row_ptr + o_s, mask=m_s, other=0) < cutoff
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    b_psi = tl.where(truncated, tl.load(psi_ptr), 1.0)
    first = tl.program_id(1) * images
    for i_n in range(first, tl.minimum(first + images, n)):
        b_w = tl.load(w_ptr + i_n * CI + o_k, mask=m_k, other=0.0)
        b_s = b_psi * tl.sum(b_a * b_w[None, :], axis=1) + (1.0 - b_psi) * b_average
        for kind in range(0 if ONE_MATRIX else i_a, kinds if ONE_MATRIX else i_a + 1):
            b_bias = tl.load(bias_ptr + kind * S + o_s, mask=m_s, other=0.0)
            tl.store(styles_ptr + (kind * n + i_n) * S + o_s, b_s + b_bias, mask=m_s)


@triton.jit(do_not_specialize=["n", "images"])
def scale_kernel(
    styles_ptr,  # [N, wider] float32
    energy_ptr,  # flat float32: each layer's [O, I]
    norm_ptr,  # [sum of O] float32
    table_ptr,  # [blocks, 6] int32: first style, I, first energy, first scale, O, first output of the block
    unit_ptr,  # [N, sum of I] float32: styles divided by their layer's largest magnitude
    scale_ptr,  # [N, sum of O] float32
    n,  # images N
    images,  # images of a program
    styles_stride,
    width,  # sum of I
    scales,  # sum of O
    gain,  # float, gain of the activation
    PDL: tl.constexpr,
    BR: tl.constexpr,  # output channels of a program
    BK: tl.constexpr,  # at least the widest layer's I
):
    """unit = style / peak, scale = gain r rsqrt(r^2 sum over inputs of unit^2 energy + 1e-8) with r = peak * norm.

    r undoes the normalisations of styles and weights. Source: Karras et al., arXiv 1912.04958, equation 3.
    """
    p_row = table_ptr + tl.program_id(0) * 6
    first_style = tl.load(p_row)
    inputs = tl.load(p_row + 1)
    first_energy = tl.load(p_row + 2)
    first_scale = tl.load(p_row + 3)
    outputs = tl.load(p_row + 4)
    column = tl.load(p_row + 5)
    o_o = column + tl.arange(0, BR)
    o_k = tl.arange(0, BK)
    m_o = o_o < outputs
    m_k = o_k < inputs
    p_e = energy_ptr + first_energy + o_o[:, None] * inputs + o_k[None, :]
    b_e = tl.load(p_e, mask=m_o[:, None] & m_k[None, :], other=0.0)
    b_norm = tl.load(norm_ptr + first_scale + o_o, mask=m_o, other=0.0)
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    first = tl.program_id(1) * images
    for i_n in range(first, tl.minimum(first + images, n)):
        b_s = tl.load(styles_ptr + i_n * styles_stride + first_style + o_k, mask=m_k, other=0.0)
        # The lower bound keeps an all-zero style finite.
        peak = tl.maximum(tl.max(tl.abs(b_s), axis=0), 1e-20)
        b_unit = b_s / peak
        # The program of a layer's first outputs writes the layer's styles.
        tl.store(unit_ptr + i_n * width + first_style + o_k, b_unit, mask=m_k & (column == 0))
        total = tl.sum(b_e * (b_unit * b_unit)[None, :], axis=1)
        ratio = peak * b_norm
        b_scale = gain * ratio * tl.rsqrt(ratio * ratio * total + 1e-8)
        tl.store(scale_ptr + i_n * scales + first_scale + o_o, b_scale, mask=m_o)
