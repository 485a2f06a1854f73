"""The two kernels of the up-convolution's FIR form: the transposed convolution, then the low-pass filter.

A transposed convolution of stride 2 consists of four plain ones, one for each parity of the output pixel, with 2x2,
2x1, 1x2 and 1x1 taps. These are 9 multiply-adds per input pixel, without products with inserted zeros.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sgi.kernels.gpu.device_functions import activate, load_operand


@triton.jit(do_not_specialize=["n", "nx"])
def transposed_conv_kernel(
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    w_ptr,  # [9, I, O] of x's type
    t_ptr,  # [N, 2 H + 1, 2 W + 1, O] of x's type
    style_ptr,  # [N, I] float32
    n,  # images N; image i reads x[i % nx]
    nx,  # images of x
    style_stride,
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O
    H: tl.constexpr,  # height of x
    W: tl.constexpr,  # width of x
    HAS_STYLE: tl.constexpr,
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    PDL: tl.constexpr,  # programmatic dependent launch
    BM: tl.constexpr,  # rows of a block
    BN: tl.constexpr,  # columns of a block
    BK: tl.constexpr,  # input channels of a step
):
    """t[2 y + a, 2 x + b] = sum over ju, jv of W[2 ju + a, 2 jv + b] style x[y - ju, x - jv], a and b the parities.

    One program computes one parity of BM positions (y, x) x BN output channels.
    """
    K_BLOCKS: tl.constexpr = (CI + BK - 1) // BK
    N_BLOCKS: tl.constexpr = (CO + BN - 1) // BN
    # The four parities of a block run side by side: they read the same pixels, and their lengths differ (4, 2, 2, 1).
    i_n = tl.program_id(0) % N_BLOCKS
    phase = (tl.program_id(0) // N_BLOCKS) % 4
    i_m = tl.program_id(0) // (4 * N_BLOCKS)
    a = phase // 2
    b = phase % 2
    taps_v = 2 - b
    taps = (2 - a) * taps_v

    o_m = i_m * BM + tl.arange(0, BM)  # [BM] over N x (H + 1) x (W + 1)
    o_col = i_n * BN + tl.arange(0, BN)  # [BN]
    m_row = o_m < n * ((H + 1) * (W + 1))
    m_col = (o_col < CO)[None, :]
    o_n = o_m // ((H + 1) * (W + 1))
    o_y = (o_m // (W + 1)) % (H + 1)
    o_x = o_m % (W + 1)
    o_image = (o_n % nx).to(tl.int64) * (H * W * CI)

    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    acc = tl.zeros([BM, BN], tl.float32)
    for step in range(taps * K_BLOCKS):
        tap = step % taps
        ju = tap // taps_v
        jv = tap % taps_v
        o_k = (step // taps) * BK + tl.arange(0, BK)  # [BK]
        m_k = o_k < CI
        i_y = o_y - ju
        i_x = o_x - jv
        m_in = m_row & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
        p_x = x_ptr + (o_image + (i_y * W + i_x) * CI)[:, None] + o_k[None, :]
        b_x = load_operand(p_x, m_in[:, None] & m_k[None, :], UPCAST)  # [BM, BK]
        if HAS_STYLE:
            p_s = style_ptr + o_n[:, None] * style_stride + o_k[None, :]
            b_s = tl.load(p_s, mask=m_row[:, None] & m_k[None, :], other=0.0)
            b_x = (b_x.to(tl.float32) * b_s).to(b_x.dtype)
        w_tap = (2 * ju + a) * 3 + 2 * jv + b
        p_w = w_ptr + w_tap * (CI * CO) + o_k[:, None] * CO + o_col[None, :]
        b_w = load_operand(p_w, m_k[:, None] & m_col, UPCAST)  # [BK, BN]
        acc = tl.dot(b_x, b_w, acc, input_precision=PRECISION)

    t_y = 2 * o_y + a
    t_x = 2 * o_x + b
    m_t = m_row & (t_y < 2 * H + 1) & (t_x < 2 * W + 1)
    o_t = o_n.to(tl.int64) * ((2 * H + 1) * (2 * W + 1) * CO) + (t_y * (2 * W + 1) + t_x) * CO
    tl.store(t_ptr + o_t[:, None] + o_col[None, :], acc.to(t_ptr.dtype.element_ty), mask=m_t[:, None] & m_col)


@triton.jit
def _filtered_row(
    t_ptr,  # first pixel of an image [HI, WI, C]
    i_y,  # row of t, which may lie outside the image
    o_x,  # columns of the output: [BX]
    o_c,  # channels: [BC]
    m_c,  # mask of channels: [BC]
    HI: tl.constexpr,
    WI: tl.constexpr,
    C: tl.constexpr,
    PAD: tl.constexpr,
):
    """[1, 3, 3, 1] / 4 along one row of t: [BX, BC] float32."""
    total = tl.zeros([o_x.shape[0], o_c.shape[0]], tl.float32)
    for j in tl.static_range(4):
        i_x = o_x + (j - PAD)
        m_in = (i_x >= 0) & (i_x < WI) & (i_y >= 0) & (i_y < HI)
        p_t = t_ptr + (i_y * WI + i_x)[:, None] * C + o_c[None, :]
        tap = tl.load(p_t, mask=m_in[:, None] & m_c[None, :], other=0.0).to(tl.float32)
        total += tap * (0.25 if j == 0 or j == 3 else 0.75)
    return total


@triton.jit(do_not_specialize=["clamp"])
def fir_kernel(
    t_ptr,  # [N, HI, WI, C] fp16, bf16 or fp32
    y_ptr,  # [N, HO, WO, C] of t's type
    scale_ptr,  # [N, C] float32
    noise_ptr,  # [1 or N, HO * WO] float32
    bias_ptr,  # [C] float32
    next_ptr,  # [N, C] float32: the style of the layer that reads y
    scale_stride,
    noise_stride,  # 0 if all images share the noise
    next_stride,
    clamp,  # float, the bound of y's magnitude before the next style
    C: tl.constexpr,  # channels
    HI: tl.constexpr,  # height of t
    WI: tl.constexpr,  # width of t
    HO: tl.constexpr,  # height of y
    WO: tl.constexpr,  # width of y
    PAD: tl.constexpr,  # 1; 2 in the gradient, whose filter is the same because it is symmetric
    HAS_SCALE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_NEXT: tl.constexpr,
    PDL: tl.constexpr,  # programmatic dependent launch
    ROWS: tl.constexpr,  # rows of y of a program
    BX: tl.constexpr,  # columns of y of a program
    BC: tl.constexpr,  # channels of a program
):
    """y = next * clamp(lrelu(scale * FIR(t) + noise + bias)).

    The filter is separable: each row is filtered once, and the last four filtered rows stay in registers.
    """
    C_BLOCKS: tl.constexpr = (C + BC - 1) // BC
    X_BLOCKS: tl.constexpr = (WO + BX - 1) // BX
    i_c = tl.program_id(0) % C_BLOCKS
    i_x = (tl.program_id(0) // C_BLOCKS) % X_BLOCKS
    i_y = tl.program_id(0) // (C_BLOCKS * X_BLOCKS)
    i_n = tl.program_id(1)
    o_c = i_c * BC + tl.arange(0, BC)
    o_x = i_x * BX + tl.arange(0, BX)
    m_c = o_c < C
    m_col = m_c[None, :]
    first = i_y * ROWS
    p_image = t_ptr + i_n.to(tl.int64) * (HI * WI * C)
    p_out = y_ptr + i_n.to(tl.int64) * (HO * WO * C)

    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    row0 = _filtered_row(p_image, first - PAD, o_x, o_c, m_c, HI, WI, C, PAD)
    row1 = _filtered_row(p_image, first - PAD + 1, o_x, o_c, m_c, HI, WI, C, PAD)
    row2 = _filtered_row(p_image, first - PAD + 2, o_x, o_c, m_c, HI, WI, C, PAD)
    for r in range(ROWS):
        o_y = first + r
        row3 = _filtered_row(p_image, o_y - PAD + 3, o_x, o_c, m_c, HI, WI, C, PAD)
        acc = (row0 + row3) * 0.25 + (row1 + row2) * 0.75
        o_pix = (o_y * WO + o_x)[:, None]
        m_pix = ((o_x < WO) & (o_y < HO))[:, None]
        acc = activate(
            acc, i_n, o_pix, o_c[None, :], m_col, m_pix, m_col, scale_ptr, scale_stride, noise_ptr, noise_stride,
            bias_ptr, clamp, HAS_SCALE, HAS_NOISE, HAS_BIAS, ACT, HAS_CLAMP,
        )  # fmt: skip
        if HAS_NEXT:
            acc = acc * tl.load(next_ptr + i_n * next_stride + o_c[None, :], mask=m_col, other=0.0)
        p_y = p_out + o_pix * C + o_c[None, :]
        tl.store(p_y, acc.to(y_ptr.dtype.element_ty), mask=m_pix & m_col)
        row0 = row1
        row1 = row2
        row2 = row3
