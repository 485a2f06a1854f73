"""The epilogue of the convolution kernels: activation, to-rgb, the product with the next style, the stores.

Names as in `device_functions`. Vectors of rows and columns are loaded in halves: the compiler gives a load of as many
elements as the block has threads a layout of its own, and then moves the sums of the whole block to that layout through
shared memory before it adds them up for to-rgb. Shorter loads take the layout of the sums.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import triton
import triton.language as tl

from sgi.kernels.gpu.device_functions import bounded_lrelu, upsampled
from sgi.kernels.gpu.operands import Epilogue, RgbTail, row_stride


class Tail(NamedTuple):
    """Arguments of a kernel: the epilogue's operands, None where an operand is absent; strides in elements."""

    scale: Any  # [N, O] float32: demodulation, gain sqrt 2 and the norms of weights and styles
    scale_stride: int
    noise: Any  # [1 or N, output pixels] float32
    noise_stride: int  # 0 if all images share the noise
    bias: Any  # [O] float32
    clamp: float | None  # the bound of y's magnitude before the next style
    next_style: Any  # [N, O] float32: the style of the layer that reads y
    next_stride: int

    @classmethod
    def of(cls, e: Epilogue) -> Tail:
        strides = row_stride(e.scale), e.noise_stride, row_stride(e.next_style)
        return cls(e.scale, strides[0], e.noise, strides[1], e.bias, e.clamp, e.next_style, strides[2])


class Colours(NamedTuple):
    """Arguments of a kernel: the to-rgb layer's operands and its output."""

    out: Any  # [column blocks, N, C, H * W] float32
    style: Any  # [N, O] float32
    style_stride: int
    weight: Any  # [C, O] float32, to-rgb's gain in it
    bias: Any  # [C] float32
    below: Any  # [NB, C, H / 2, W / 2] float32 or None: the picture one level down
    n_below: int  # its images; image i reads below[i % n_below]
    clamp: float | None  # the bound of the colours' magnitude

    @classmethod
    def of(cls, rgb: RgbTail, out: Any) -> Colours:
        images = 1 if rgb.below is None else rgb.below.shape[0]
        return cls(out, rgb.style, row_stride(rgb.style), rgb.weight, rgb.bias, rgb.below, images, rgb.clamp)


@triton.jit
def finish_block(
    b_acc,  # [BM, BN] float32: sums
    i_n,  # block of columns
    n,  # images
    o_n,  # image of each row: [BM]
    b_n,  # the same: a scalar if the block lies in one image, else [BM, 1]
    o_y,  # position of each row in the grid GH x GW: [BM]
    o_x,
    m_row,  # [BM]
    y_ptr,  # [N, GH * UP, GW * UP, CO] or None
    tail,  # Tail
    rgb,  # Colours or None
    GH: tl.constexpr,
    GW: tl.constexpr,
    CO: tl.constexpr,
    C: tl.constexpr,  # channels of the picture, 0 without to-rgb
    UP: tl.constexpr,  # 1, or 2: columns are 4 phases x CO
    ACT: tl.constexpr,
):
    """Finish and store BM rows x BN columns; to-rgb reads the values before the product with the next style."""
    BN: tl.constexpr = b_acc.shape[1]
    o_col = i_n * BN + tl.arange(0, BN)
    b_acc = _activated(b_acc, o_col, b_n, o_y, o_x, m_row, tail, GW, CO, UP, ACT)
    # Triton 3.6 cannot compare a tuple that contains None with None.
    for c in tl.static_range(C):
        b_rgb = _colour(b_acc, o_col, c, b_n, m_row, rgb, CO)
        store_colour(b_rgb, c, i_n, n, o_n, o_y, o_x, m_row, rgb, GH, GW, C, CO <= BN)
    if y_ptr is not None:
        _store(b_acc, o_col, o_n, b_n, o_y, o_x, m_row, y_ptr, tail, GH, GW, CO, UP)


@triton.jit
def _load_halves(ptr, o, mask):
    """Values [S] at ptr + o, 0 where masked; o, mask: [S]."""
    HALF: tl.constexpr = o.shape[0] // 2
    o_l, o_r = tl.split(tl.permute(tl.reshape(o, [2, HALF]), (1, 0)))
    m_l, m_r = tl.split(tl.permute(tl.reshape(mask, [2, HALF]), (1, 0)))
    b_l = tl.load(ptr + o_l, mask=m_l, other=0.0)
    b_r = tl.load(ptr + o_r, mask=m_r, other=0.0)
    return tl.reshape(tl.permute(tl.join(b_l, b_r), (1, 0)), [2 * HALF])


@triton.jit
def _columns(ptr, stride, b_n, o_out, m_row, m_col):
    """The image's values of the columns: [1, BN] if the block lies in one image, else [BM, BN]."""
    if len(b_n.shape) == 0:
        b = _load_halves(ptr + b_n * stride, o_out, m_col)[None, :]
    else:
        b = tl.load(ptr + b_n * stride + o_out[None, :], mask=m_row[:, None] & m_col[None, :], other=0.0)
    return b


@triton.jit
def _pixel(o_col, o_y, o_x, GW: tl.constexpr, CO: tl.constexpr, UP: tl.constexpr):
    """Output pixel of a row, [BM, 1], or [BM, BN] if columns hold phases."""
    if UP == 1:
        o_pix = (o_y * GW + o_x)[:, None]
    else:
        o_phase = (o_col // CO)[None, :]
        o_pix = (o_y[:, None] * 2 + o_phase // 2) * (GW * 2) + o_x[:, None] * 2 + o_phase % 2
    return o_pix


@triton.jit
def _activated(
    b, o_col, b_n, o_y, o_x, m_row, tail, GW: tl.constexpr, CO: tl.constexpr, UP: tl.constexpr, ACT: tl.constexpr
):  # fmt: skip
    """clamp(lrelu(b * scale + noise + bias)); the gain sqrt 2 of the leaky ReLU is in the operands."""
    m_col = o_col < UP * UP * CO
    if tail.scale is not None:
        b = b * _columns(tail.scale, tail.scale_stride, b_n, o_col % CO, m_row, m_col)
    if tail.noise is not None:
        if len(b_n.shape) == 0:
            p_noise = tail.noise + b_n * tail.noise_stride
            for phase in tl.static_range(UP * UP):
                o_pix = (o_y * UP + phase // UP) * (GW * UP) + o_x * UP + phase % UP
                b_noise = _load_halves(p_noise, o_pix, m_row)[:, None]
                b = b + b_noise if UP == 1 else tl.where((o_col // CO == phase)[None, :], b + b_noise, b)
        else:
            p_noise = tail.noise + b_n * tail.noise_stride + _pixel(o_col, o_y, o_x, GW, CO, UP)
            b += tl.load(p_noise, mask=m_row[:, None] & m_col[None, :], other=0.0)
    if tail.bias is not None:
        b += _load_halves(tail.bias, o_col % CO, m_col)[None, :]
    return bounded_lrelu(b, tail.clamp, ACT, tail.clamp is not None)


@triton.jit
def _colour(b_y, o_col, c, b_n, m_row, rgb, CO: tl.constexpr):
    """Channel c of to-rgb summed over the columns o_col: [BM]."""
    m_col = o_col < CO
    b_rs = _columns(rgb.style, rgb.style_stride, b_n, o_col, m_row, m_col)
    b_rw = _load_halves(rgb.weight + c * CO, o_col, m_col)[None, :]
    return tl.sum(b_y * (b_rs * b_rw), axis=1)


@triton.jit
def store_colour(
    b_rgb, c, i_n, n, o_n, o_y, o_x, m_row, rgb,
    GH: tl.constexpr, GW: tl.constexpr, C: tl.constexpr, WHOLE: tl.constexpr,
):  # fmt: skip
    """Store partial sums of a block of columns, or the finished picture if the block holds all channels (WHOLE)."""
    if WHOLE:
        b_rgb += tl.load(rgb.bias + c)
        if rgb.clamp is not None:
            b_rgb = tl.minimum(tl.maximum(b_rgb, -rgb.clamp), rgb.clamp)
        if rgb.below is not None:
            plane = ((o_n % rgb.n_below) * C + c) * ((GH // 2) * (GW // 2))
            b_rgb += upsampled(rgb.below + plane, o_y, o_x, m_row, GH // 2, GW // 2)
    tl.store(rgb.out + ((i_n * n + o_n) * C + c) * (GH * GW) + o_y * GW + o_x, b_rgb, mask=m_row)


@triton.jit
def _store(
    b, o_col, o_n, b_n, o_y, o_x, m_row, y_ptr, tail,
    GH: tl.constexpr, GW: tl.constexpr, CO: tl.constexpr, UP: tl.constexpr,
):  # fmt: skip
    m_col = o_col < UP * UP * CO
    o_out = o_col % CO
    if tail.next_style is not None:
        b = b * _columns(tail.next_style, tail.next_stride, b_n, o_out, m_row, m_col)
    # Offsets inside an image fit 32 bits; a batch of images does not.
    o_base = (o_n.to(tl.int64) * (GH * UP * GW * UP * CO))[:, None]
    o_pix = _pixel(o_col, o_y, o_x, GW, CO, UP)
    tl.store(
        y_ptr + o_base + o_pix * CO + o_out[None, :], b.to(y_ptr.dtype.element_ty), mask=m_row[:, None] & m_col[None, :]
    )
