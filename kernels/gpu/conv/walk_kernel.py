"""The 3x3 convolution of a strip of image rows, fused with the rest of its layer: each row of x is read once a program.

A program keeps the nine taps of its columns in shared memory and walks down the rows of its pixels. A row of x, shifted
by each horizontal tap, adds to the sums of three output rows, which stay in registers; the uppermost is then complete.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from sgi.kernels.gpu.conv.epilogue import store_colour
from sgi.kernels.gpu.conv.rows_kernel import in_registers, load_block
from sgi.kernels.gpu.device_functions import bounded_lrelu, load_operand


@triton.jit
def _row_of_taps(w_ptr, row: tl.constexpr, o_k, o_col, CI: tl.constexpr, CO: tl.constexpr, UPCAST: tl.constexpr):
    """The three taps of a row of the 3x3 weight: [BK, BN] each."""
    mask = (o_k < CI)[:, None] & (o_col < CO)[None, :]
    p_w = w_ptr + row * (3 * CI * CO) + o_k[:, None] * CO + o_col[None, :]
    w_l = load_operand(p_w, mask, UPCAST)
    w_c = load_operand(p_w + CI * CO, mask, UPCAST)
    w_r = load_operand(p_w + 2 * CI * CO, mask, UPCAST)
    # One row at a time: the barrier keeps the compiler from loading all taps at once, which needs more registers.
    tl.debug_barrier()
    return w_l, w_c, w_r


@triton.jit
def _columns(ptr, first, CO: tl.constexpr, BN: tl.constexpr):
    """Values of the columns from `first` on, 0 past the last: [1, BN]; in halves, see epilogue.py."""
    o_l = first + tl.arange(0, BN // 2)
    o_r = o_l + BN // 2
    b_l = tl.load(ptr + o_l, mask=o_l < CO, other=0.0)
    b_r = tl.load(ptr + o_r, mask=o_r < CO, other=0.0)
    return tl.reshape(tl.permute(tl.join(b_l, b_r), (1, 0)), [BN])[None, :]


@triton.jit(do_not_specialize=["n", "nx"])
def walk_kernel(
    x,  # [NX, H, W, I] fp16, bf16 or fp32: a descriptor of blocks [1, 1, BM, BK]
    w_ptr,  # [9, I, O] of x's type
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
    REGISTERS: tl.constexpr,  # see in_registers
    ROWS: tl.constexpr,  # output rows of a program
    BM: tl.constexpr,  # pixels of a row
    BN: tl.constexpr,  # output channels of a program
    BK: tl.constexpr,  # at least I
):
    """y = next * clamp(lrelu(scale * conv(W, x) + noise + bias)) and to-rgb of y before the product with next."""
    N_BLOCKS: tl.constexpr = (CO + BN - 1) // BN
    X_BLOCKS: tl.constexpr = (W + BM - 1) // BM
    Y_BLOCKS: tl.constexpr = (H + ROWS - 1) // ROWS
    # The column blocks of a strip run side by side, because they read the same pixels.
    pid = tl.program_id(0)
    i_n = pid % N_BLOCKS
    x0 = (pid // N_BLOCKS) % X_BLOCKS * BM
    y0 = (pid // (N_BLOCKS * X_BLOCKS)) % Y_BLOCKS * ROWS
    image = pid // (N_BLOCKS * X_BLOCKS * Y_BLOCKS)
    i_image = (image % nx).to(tl.int32)
    o_x = x0 + tl.arange(0, BM)

    o_k = tl.arange(0, BK)
    o_col = i_n * BN + tl.arange(0, BN)
    top_l, top_c, top_r = _row_of_taps(w_ptr, 0, o_k, o_col, CI, CO, UPCAST)
    mid_l, mid_c, mid_r = _row_of_taps(w_ptr, 1, o_k, o_col, CI, CO, UPCAST)
    low_l, low_c, low_r = _row_of_taps(w_ptr, 2, o_k, o_col, CI, CO, UPCAST)

    m_col = o_col < CO
    first = i_n * BN
    o_image = image.to(tl.int64) * (H * W * CO)

    at = tl.zeros([BM, BN], tl.float32)
    above = at
    # The first two rows only fill the sums.
    for step in range(ROWS + 2):
        i_y = y0 - 1 + step
        o_y = tl.zeros([BM], tl.int32) + (i_y - 1)
        m_row = (o_x < W) & (step >= 2) & (o_y < H)
        # The noise arrives while the products run.
        if tail.noise is not None:
            p_noise = tail.noise + image * tail.noise_stride + o_y * W + o_x
            b_noise = tl.load(p_noise, mask=m_row, other=0.0)[:, None]

        below = tl.zeros([BM, BN], tl.float32)
        a = in_registers(load_block(x, i_image, i_y, x0 - 1, 0, UPCAST), REGISTERS)  # [BM, BK]
        above = tl.dot(a, low_l, above, input_precision=PRECISION)
        at = tl.dot(a, mid_l, at, input_precision=PRECISION)
        below = tl.dot(a, top_l, below, input_precision=PRECISION)
        a = in_registers(load_block(x, i_image, i_y, x0, 0, UPCAST), REGISTERS)
        above = tl.dot(a, low_c, above, input_precision=PRECISION)
        at = tl.dot(a, mid_c, at, input_precision=PRECISION)
        below = tl.dot(a, top_c, below, input_precision=PRECISION)
        a = in_registers(load_block(x, i_image, i_y, x0 + 1, 0, UPCAST), REGISTERS)
        above = tl.dot(a, low_r, above, input_precision=PRECISION)
        at = tl.dot(a, mid_r, at, input_precision=PRECISION)
        below = tl.dot(a, top_r, below, input_precision=PRECISION)

        b = above
        if tail.scale is not None:
            b = b * _columns(tail.scale + image * tail.scale_stride, first, CO, BN)
        if tail.noise is not None:
            b = b + b_noise
        if tail.bias is not None:
            b = b + _columns(tail.bias, first, CO, BN)
        b = bounded_lrelu(b, tail.clamp, ACT, tail.clamp is not None)
        for c in tl.static_range(C):
            b_style = _columns(rgb.style + image * rgb.style_stride, first, CO, BN)
            b_rgb = tl.sum(b * (b_style * _columns(rgb.weight + c * CO, first, CO, BN)), axis=1)
            store_colour(b_rgb, c, i_n, n, image, o_y, o_x, m_row, rgb, H, W, C, CO <= BN)
        if y_ptr is not None:
            if tail.next_style is not None:
                b = b * _columns(tail.next_style + image * tail.next_stride, first, CO, BN)
            p_y = y_ptr + o_image + ((o_y * W + o_x) * CO)[:, None] + o_col[None, :]
            tl.store(p_y, b.to(y_ptr.dtype.element_ty), mask=m_row[:, None] & m_col[None, :])
        above = at
        at = below
