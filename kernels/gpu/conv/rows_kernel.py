"""The 3x3 convolution of a block of image rows, fused with the rest of its layer: each row of x serves three taps.

A program computes 4 image rows x BM pixels x BN output channels. For each horizontal tap and block of input
channels it loads 6 rows of x and three taps of the weight, and multiplies each row by the vertical taps that
need it, from shared memory. A pixel is read 4.5 times instead of 9 times, and the weights once for
4 * BM pixels.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from sgi.kernels.gpu.conv.epilogue import finish_block

ROWS_OF_BLOCK = tl.constexpr(4)


@triton.jit
def load_block(
    descriptor,
    o_a,
    o_b,
    o_c,
    o_d,
    UPCAST: tl.constexpr,  # see load_operand
):
    """A block of a four-dimensional tensor as a matrix; positions outside of the tensor are 0."""
    b = descriptor.load([o_a, o_b, o_c, o_d])
    b = tl.reshape(b, [b.shape[2], b.shape[3]])
    if UPCAST:
        b = b.to(tl.float32)
    return b


@triton.jit
def _three_taps(a_0, a_1, a_2, w_0, w_1, w_2, acc, PRECISION: tl.constexpr):
    acc = tl.dot(a_0, w_0, acc, input_precision=PRECISION)
    acc = tl.dot(a_1, w_1, acc, input_precision=PRECISION)
    return tl.dot(a_2, w_2, acc, input_precision=PRECISION)


@triton.jit(do_not_specialize=["n", "nx"])
def rows_kernel(
    x,  # [NX, H, W, I] fp16, bf16 or fp32: a descriptor of blocks [1, 1, BM, BK]
    w,  # [3, 3, I, O] of x's type: a descriptor of blocks [1, 1, BK, BN]
    y_ptr,  # [N, H, W, O] of x's type, or None
    tail,  # Tail: the epilogue's operands
    rgb,  # Colours or None: to-rgb's operands
    n,  # images N; image i reads x[i % nx]
    nx,  # images of x
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture, 0 without to-rgb
    ACT: tl.constexpr,
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    BM: tl.constexpr,  # pixels of a row
    BN: tl.constexpr,  # output channels of a block
    BK: tl.constexpr,  # input channels of a step
):
    """y = next * clamp(lrelu(scale * conv(W, x) + noise + bias)) and to-rgb of y before the product with next."""
    N_BLOCKS: tl.constexpr = (CO + BN - 1) // BN
    X_BLOCKS: tl.constexpr = (W + BM - 1) // BM
    Y_BLOCKS: tl.constexpr = (H + ROWS_OF_BLOCK - 1) // ROWS_OF_BLOCK
    # Blocks of columns run fastest, then blocks of a row, so that neighbours share x in L2.
    pid = tl.program_id(0)
    i_n = pid % N_BLOCKS
    x0 = (pid // N_BLOCKS) % X_BLOCKS * BM
    y0 = (pid // (N_BLOCKS * X_BLOCKS)) % Y_BLOCKS * ROWS_OF_BLOCK
    image = pid // (N_BLOCKS * X_BLOCKS * Y_BLOCKS)
    i_image = (image % nx).to(tl.int32)
    o_x = x0 + tl.arange(0, BM)

    acc_0 = tl.zeros([BM, BN], tl.float32)
    acc_1 = acc_0
    acc_2 = acc_0
    acc_3 = acc_0
    for step in range(3 * ((CI + BK - 1) // BK)):
        tap = step % 3
        o_k = (step // 3) * BK
        i_x = x0 + tap - 1
        w_0 = load_block(w, 0, tap, o_k, i_n * BN, UPCAST)  # [BK, BN]
        w_1 = load_block(w, 1, tap, o_k, i_n * BN, UPCAST)
        w_2 = load_block(w, 2, tap, o_k, i_n * BN, UPCAST)
        a_0 = load_block(x, i_image, y0 - 1, i_x, o_k, UPCAST)  # [BM, BK]
        a_1 = load_block(x, i_image, y0, i_x, o_k, UPCAST)
        a_2 = load_block(x, i_image, y0 + 1, i_x, o_k, UPCAST)
        acc_0 = _three_taps(a_0, a_1, a_2, w_0, w_1, w_2, acc_0, PRECISION)
        a_3 = load_block(x, i_image, y0 + 2, i_x, o_k, UPCAST)
        acc_1 = _three_taps(a_1, a_2, a_3, w_0, w_1, w_2, acc_1, PRECISION)
        a_4 = load_block(x, i_image, y0 + 3, i_x, o_k, UPCAST)
        acc_2 = _three_taps(a_2, a_3, a_4, w_0, w_1, w_2, acc_2, PRECISION)
        a_5 = load_block(x, i_image, y0 + 4, i_x, o_k, UPCAST)
        acc_3 = _three_taps(a_3, a_4, a_5, w_0, w_1, w_2, acc_3, PRECISION)

    o_n = tl.zeros([BM], tl.int32) + image
    m_x = o_x < W
    for r in tl.static_range(ROWS_OF_BLOCK):
        acc = (acc_0, acc_1, acc_2, acc_3)[r]
        o_y = tl.zeros([BM], tl.int32) + (y0 + r)
        finish_block(acc, i_n, n, o_n, image, o_y, o_x, m_x & (o_y < H), y_ptr, tail, rgb, H, W, CO, C, 1, ACT)
