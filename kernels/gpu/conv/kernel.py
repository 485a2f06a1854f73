"""The 3x3 convolution as an implicit GEMM on NHWC, fused with the rest of its layer.

Rows are pixels, columns are output channels, and the inner axis is 9 taps times the input channels. The input is not
unfolded in memory. One kernel computes the modulated convolution, the phases form of the up-convolution (columns
are 4 phases x channels) and the gradients of both (transposed and flipped weights, stride 2).
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sgi.kernels.gpu.conv.epilogue import finish_block
from sgi.kernels.gpu.device_functions import load_operand


@triton.jit(do_not_specialize=["n", "nx"])
def conv_kernel(
    x_ptr,  # [NX, HI, WI, I] fp16, bf16 or fp32
    w_ptr,  # [9, I, UP * UP * O], or [9, O, I] if TRANSPOSED, of x's type
    y_ptr,  # [N, GH * UP, GW * UP, O] of x's type, or None
    style_ptr,  # [N, I] float32 or None
    tail,  # Tail: the epilogue's operands
    rgb,  # Colours or None: to-rgb's operands
    n,  # images N; image i reads x[i % nx]
    nx,  # images of x
    style_stride,
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O
    HI: tl.constexpr,  # height of x
    WI: tl.constexpr,  # width of x
    GH: tl.constexpr,  # the grid of rows: GH x GW pixels an image
    GW: tl.constexpr,
    C: tl.constexpr,  # channels of the picture, 0 without to-rgb
    STRIDE: tl.constexpr,  # 1, or 2 for the gradient of the up-convolution
    PAD: tl.constexpr,  # 1 if STRIDE is 1, else 0
    UP: tl.constexpr,  # 1, or 2: columns are 4 phases x O, and a row gives 2 x 2 output pixels
    TRANSPOSED: tl.constexpr,  # gradients: the weight's channel axes are exchanged
    FLIPPED: tl.constexpr,  # gradient of the plain convolution: the taps are in reverse order
    ACT: tl.constexpr,
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    PDL: tl.constexpr,  # programmatic dependent launch
    BM: tl.constexpr,  # rows of a block
    BN: tl.constexpr,  # columns of a block
    BK: tl.constexpr,  # input channels of a step
):
    """y = next * clamp(lrelu(scale * conv(W, style * x) + noise + bias)) and to-rgb of y before the product with next.

    One program computes BM rows x BN columns. Every part of the formula but the convolution is optional.
    """
    COLS: tl.constexpr = UP * UP * CO
    K_BLOCKS: tl.constexpr = (CI + BK - 1) // BK
    N_BLOCKS: tl.constexpr = (COLS + BN - 1) // BN
    W_K: tl.constexpr = 1 if TRANSPOSED else COLS
    W_N: tl.constexpr = CI if TRANSPOSED else 1
    # Blocks of columns run fastest: programs that run together share their rows of x in L2.
    i_n = tl.program_id(0) % N_BLOCKS
    i_m = tl.program_id(0) // N_BLOCKS

    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    o_col = i_n * BN + tl.arange(0, BN)  # [BN]
    m_row = o_m < n * (GH * GW)
    m_col = (o_col < COLS)[None, :]  # [1, BN]
    o_n = o_m // (GH * GW)
    o_g = o_m % (GH * GW)
    o_y = o_g // GW
    o_x = o_g % GW
    # Offsets inside an image fit 32 bits; a batch of images does not.
    o_image = (o_n % nx).to(tl.int64) * (HI * WI * CI)
    # If all rows of a block lie in one image, the image's vectors are [1, BN] instead of a gather of [BM, BN].
    ONE_IMAGE: tl.constexpr = (GH * GW) % BM == 0
    if ONE_IMAGE:
        b_n = (i_m * BM) // (GH * GW)
        m_style = tl.full([1, 1], 1, tl.int1)
    else:
        b_n = o_n[:, None]
        m_style = m_row[:, None]

    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    acc = tl.zeros([BM, BN], tl.float32)
    for step in range(9 * K_BLOCKS):
        # Taps run fastest, so that nine reads of the same channels of a neighbourhood follow one another.
        tap = step % 9
        o_k = (step // 9) * BK + tl.arange(0, BK)  # [BK]
        m_k = o_k < CI
        i_y = o_y * STRIDE + (tap // 3 - PAD)
        i_x = o_x * STRIDE + (tap % 3 - PAD)
        # Without padding all taps of a row lie inside the image.
        m_in = m_row
        if PAD > 0:
            m_in = m_row & (i_y >= 0) & (i_y < HI) & (i_x >= 0) & (i_x < WI)
        p_a = x_ptr + (o_image + (i_y * WI + i_x) * CI)[:, None] + o_k[None, :]
        b_a = load_operand(p_a, m_in[:, None] & m_k[None, :], UPCAST)  # [BM, BK]
        if style_ptr is not None:
            b_s = tl.load(style_ptr + b_n * style_stride + o_k[None, :], mask=m_style & m_k[None, :], other=0.0)
            b_a = (b_a.to(tl.float32) * b_s).to(b_a.dtype)
        w_tap = 8 - tap if FLIPPED else tap
        p_w = w_ptr + w_tap * (CI * COLS) + o_k[:, None] * W_K + o_col[None, :] * W_N
        b_w = load_operand(p_w, m_k[:, None] & m_col, UPCAST)  # [BK, BN]
        acc = tl.dot(b_a, b_w, acc, input_precision=PRECISION)

    finish_block(acc, i_n, n, o_n, b_n, o_y, o_x, m_row, y_ptr, tail, rgb, GH, GW, CO, C, UP, ACT)
