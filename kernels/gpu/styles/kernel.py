"""Normalised styles and demodulations of all layers of a network, in two launches.

The tensors of all layers are concatenated: styles [N, sum of I], scales [N, sum of O]. A table contains the first
column of each layer.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def normalise_kernel(
    styles_ptr,  # [N, S] float32
    out_ptr,  # [N, S] float32: styles divided by their layer's largest magnitude
    peak_ptr,  # [N, layers] float32: that magnitude
    start_ptr,  # [layers + 1] int32: columns at which layers begin
    styles_stride,
    width,  # S, sum of I
    layers,  # number of layers
    BLOCK: tl.constexpr,  # at least the widest layer's I
):
    """out = styles / peak with peak the largest magnitude of an image's style in a layer."""
    layer = tl.program_id(0)
    i_n = tl.program_id(1)
    first = tl.load(start_ptr + layer)
    o_i = first + tl.arange(0, BLOCK)
    m_i = o_i < tl.load(start_ptr + layer + 1)
    b_s = tl.load(styles_ptr + i_n * styles_stride + o_i, mask=m_i, other=0.0)
    # The lower bound keeps an all-zero style finite.
    peak = tl.maximum(tl.max(tl.abs(b_s), axis=0), 1e-20)
    tl.store(out_ptr + i_n * width + o_i, b_s / peak, mask=m_i)
    tl.store(peak_ptr + i_n * layers + layer, peak)


@triton.jit(do_not_specialize=["n"])
def demodulate_kernel(
    styles_ptr,  # [N, S] float32, normalised
    peak_ptr,  # [N, layers] float32
    energy_ptr,  # flat float32: each layer's [I, O]
    norm_ptr,  # [sum of O] float32
    table_ptr,  # [blocks, 6] int32: layer, its first style, I, its first energy, its first scale, O
    column_ptr,  # [blocks] int32: first of the block's output channels within its layer
    scale_ptr,  # [N, sum of O] float32
    n,  # images
    width,  # S, sum of I
    layers,  # number of layers
    scales,  # sum of O
    gain,  # float, gain of the activation
    BN: tl.constexpr,  # images of a program
    BO: tl.constexpr,  # output channels of a program
    BK: tl.constexpr,  # input channels of a step
):
    """scale = gain r rsqrt(r^2 sum over inputs of s^2 energy + 1e-8), with r = peak * norm.

    r undoes the normalisations of styles and weights. Source: Karras et al., arXiv 1912.04958, equation 3.
    """
    p_row = table_ptr + tl.program_id(0) * 6
    layer = tl.load(p_row)
    first_style = tl.load(p_row + 1)
    inputs = tl.load(p_row + 2)
    first_energy = tl.load(p_row + 3)
    first_scale = tl.load(p_row + 4)
    outputs = tl.load(p_row + 5)
    o_n = tl.program_id(1) * BN + tl.arange(0, BN)
    o_o = tl.load(column_ptr + tl.program_id(0)) + tl.arange(0, BO)
    m_n = (o_n < n)[:, None]
    m_o = (o_o < outputs)[None, :]
    acc = tl.zeros([BN, BO], tl.float32)
    for k in range(0, inputs, BK):
        o_k = k + tl.arange(0, BK)
        m_k = o_k < inputs
        p_s = styles_ptr + o_n[:, None] * width + first_style + o_k[None, :]
        b_s = tl.load(p_s, mask=m_n & m_k[None, :], other=0.0)  # [BN, BK]
        p_e = energy_ptr + first_energy + o_k[:, None] * outputs + o_o[None, :]
        b_e = tl.load(p_e, mask=m_k[:, None] & m_o, other=0.0)  # [BK, BO]
        acc = tl.dot(b_s * b_s, b_e, acc, input_precision="ieee")
    b_peak = tl.load(peak_ptr + o_n * layers + layer, mask=o_n < n, other=0.0)[:, None]
    b_norm = tl.load(norm_ptr + first_scale + o_o[None, :], mask=m_o, other=0.0)
    ratio = b_peak * b_norm
    b_scale = gain * ratio * tl.rsqrt(ratio * ratio * acc + 1e-8)
    tl.store(scale_ptr + o_n[:, None] * scales + first_scale + o_o[None, :], b_scale, mask=m_n & m_o)
