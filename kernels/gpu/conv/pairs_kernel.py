"""The 3x3 convolution of narrow layers, fused with the rest of its layer: a row of the matrix product is two pixels.

Both pixels of a pair read a window of four pixels in each of three rows, which is contiguous in memory. A pixel is
read 6 times instead of 9 times, and blocks have twice the columns. The weight holds each tap at its place in the window
and zeros beside it, so there are 12 multiply-adds per pixel instead of 9.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sgi.kernels.gpu.conv.epilogue import finish_block
from sgi.kernels.gpu.device_functions import load_operand


@triton.jit(do_not_specialize=["n", "nx"])
def pairs_kernel(
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    w_ptr,  # [3, 4 * I, 2 * O] of x's type: see `pack_pairs`
    y_ptr,  # [N, H, W, O] of x's type, or None
    tail,  # Tail: the epilogue's operands
    rgb,  # Colours or None: to-rgb's operands
    n,  # images N; image i reads x[i % nx]
    nx,  # images of x
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O, all in one block
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture, 0 without to-rgb
    ACT: tl.constexpr,
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    PDL: tl.constexpr,  # programmatic dependent launch
    BM: tl.constexpr,  # pairs of a block
    BN: tl.constexpr,  # output channels of a block, at least O
    BK: tl.constexpr,  # values of the window of a step
):
    """y = next * clamp(lrelu(scale * conv(W, x) + noise + bias)) and to-rgb of y before the product with next."""
    WINDOW: tl.constexpr = 4 * CI
    K_BLOCKS: tl.constexpr = (WINDOW + BK - 1) // BK
    PAIRS: tl.constexpr = (W + 1) // 2
    i_m = tl.program_id(0)
    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    m_row = o_m < n * (H * PAIRS)
    o_y = o_m // PAIRS % H
    o_left = o_m % PAIRS * 2 - 1  # first pixel of the window
    # Offsets inside an image fit 32 bits; a batch of images does not.
    o_image = (o_m // (H * PAIRS) % nx).to(tl.int64) * (H * W * CI)
    o_col = tl.arange(0, 2 * BN)  # (pixel of the pair, output channel)
    o_out = o_col % BN
    m_col = (o_out < CO)[None, :]
    o_w = o_col // BN * CO + o_out

    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    acc = tl.zeros([BM, 2 * BN], tl.float32)
    for step in range(3 * K_BLOCKS):
        # Rows of x run fastest, so that reads of the same channels of a neighbourhood follow one another.
        row = step % 3
        o_k = step // 3 * BK + tl.arange(0, BK)  # [BK]: (pixel of the window, input channel)
        m_k = o_k < WINDOW
        i_y = o_y + (row - 1)
        i_x = o_left[:, None] + (o_k // CI)[None, :]
        m_in = (m_row & (i_y >= 0) & (i_y < H))[:, None] & m_k[None, :] & (i_x >= 0) & (i_x < W)
        p_a = x_ptr + (o_image + (i_y * W + o_left) * CI)[:, None] + o_k[None, :]
        b_a = load_operand(p_a, m_in, UPCAST)  # [BM, BK]
        p_w = w_ptr + (row * WINDOW + o_k)[:, None] * (2 * CO) + o_w[None, :]
        b_w = load_operand(p_w, m_k[:, None] & m_col, UPCAST)  # [BK, 2 * BN]
        acc = tl.dot(b_a, b_w, acc, input_precision=PRECISION)

    # From here on a row is a pixel.
    o_p = tl.arange(0, 2 * BM)
    o_m = i_m * BM + o_p // 2
    o_n = o_m // (H * PAIRS)
    o_x = o_m % PAIRS * 2 + o_p % 2
    # If all rows of a block lie in one image, the image's vectors are [1, BN] instead of a gather of [2 * BM, BN].
    b_n = i_m * BM // (H * PAIRS) if (H * PAIRS) % BM == 0 else o_n[:, None]
    m_row = (o_m < n * (H * PAIRS)) & (o_x < W)
    acc = tl.reshape(acc, [2 * BM, BN])
    finish_block(acc, 0, n, o_n, b_n, o_m // PAIRS % H, o_x, m_row, y_ptr, tail, rgb, H, W, CO, C, 1, ACT)
