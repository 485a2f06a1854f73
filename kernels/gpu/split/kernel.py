"""Convolutions of few pixels: partial sums over parts of the inner axis, and kernels that add them in a fixed order.

A layer of few pixels has fewer output blocks than a GPU has multiprocessors. Its time is that of reading the weights
through too few of them. Here the inner axis, 9 taps x input channels, is divided into parts that have their own blocks.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sgi.kernels.gpu.device_functions import activate, load_operand, prefetch
from sgi.kernels.gpu.torgb.kernel import finish_colours

LINE_BYTES = tl.constexpr(128)  # of the L2 cache


@triton.jit
def _prefetch_weights(
    w_ptr,  # [9, I, O]
    first,  # first step
    i_n,  # block of columns
    CI: tl.constexpr,
    CO: tl.constexpr,
    STEPS: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    """Bring a block of columns of the weights of STEPS steps to the L2 cache."""
    ELEMENTS: tl.constexpr = LINE_BYTES // (w_ptr.dtype.element_ty.primitive_bitwidth // 8)
    LINES: tl.constexpr = (BN + ELEMENTS - 1) // ELEMENTS  # of a row of the block
    K_BLOCKS: tl.constexpr = (CI + BK - 1) // BK
    o = tl.arange(0, 128)
    o_col = i_n * BN + o % LINES * ELEMENTS
    for start in range(0, STEPS * BK * LINES, 128):
        row = (start + o) // LINES
        step = first + row // BK
        o_k = step % K_BLOCKS * BK + row % BK
        mask = (row < STEPS * BK) & (step < 9 * K_BLOCKS) & (o_k < CI) & (o_col < CO)
        prefetch(w_ptr, (step // K_BLOCKS * CI + o_k) * CO + o_col, mask)


@triton.jit(do_not_specialize=["n", "nx"])
def partial_conv_kernel(
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    w_ptr,  # [9, I, O] of x's type
    part_ptr,  # [PARTS, N, H, W, O] float32, or of x's type
    n,  # images N; image i reads x[i % nx]
    nx,  # images of x
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O
    H: tl.constexpr,
    W: tl.constexpr,
    STEPS: tl.constexpr,  # steps of a part
    SHIFTED: tl.constexpr,  # whether a tap reads the pixel beside, as in a plain convolution, or the pixel itself
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    PDL: tl.constexpr,  # programmatic dependent launch
    PREFETCH: tl.constexpr,  # with PDL: whether the weights come to L2 before the kernel waits for x
    BM: tl.constexpr,  # rows of a block
    BN: tl.constexpr,  # columns of a block
    BK: tl.constexpr,  # input channels of a step
):
    """part[s] = sum of W x over the steps of part s; a step is a tap and a block of input channels.

    Taps run slowest. If STEPS is the number of blocks of channels, part s is the product with tap s.
    """
    K_BLOCKS: tl.constexpr = (CI + BK - 1) // BK
    N_BLOCKS: tl.constexpr = (CO + BN - 1) // BN
    rows = n * (H * W)
    m_blocks = tl.cdiv(rows, BM)
    # Blocks of rows run fastest: programs that run together share their weights in L2.
    i_m = tl.program_id(0) % m_blocks
    i_n = (tl.program_id(0) // m_blocks) % N_BLOCKS
    part = tl.program_id(0) // (m_blocks * N_BLOCKS)

    o_m = i_m * BM + tl.arange(0, BM)  # [BM]
    o_col = i_n * BN + tl.arange(0, BN)  # [BN]
    m_row = o_m < rows
    m_col = (o_col < CO)[None, :]
    o_n = o_m // (H * W)
    o_y = (o_m // W) % H
    o_x = o_m % W
    o_image = (o_n % nx).to(tl.int64) * (H * W * CI)

    first = part * STEPS
    if PDL:
        gdc_launch_dependents()
        if PREFETCH and i_m == 0:  # one block of rows for all
            _prefetch_weights(w_ptr, first, i_n, CI, CO, STEPS, BN, BK)
        gdc_wait()
    acc = tl.zeros([BM, BN], tl.float32)
    for step in range(first, tl.minimum(first + STEPS, 9 * K_BLOCKS)):
        tap = step // K_BLOCKS
        o_k = (step % K_BLOCKS) * BK + tl.arange(0, BK)  # [BK]
        m_k = o_k < CI
        i_y = o_y
        i_x = o_x
        m_in = m_row
        if SHIFTED:
            i_y = o_y + (tap // 3 - 1)
            i_x = o_x + (tap % 3 - 1)
            m_in = m_row & (i_y >= 0) & (i_y < H) & (i_x >= 0) & (i_x < W)
        p_x = x_ptr + (o_image + (i_y * W + i_x) * CI)[:, None] + o_k[None, :]
        b_x = load_operand(p_x, m_in[:, None] & m_k[None, :], UPCAST)  # [BM, BK]
        p_w = w_ptr + tap * (CI * CO) + o_k[:, None] * CO + o_col[None, :]
        b_w = load_operand(p_w, m_k[:, None] & m_col, UPCAST)  # [BK, BN]
        acc = tl.dot(b_x, b_w, acc, input_precision=PRECISION)
    o_part = (part * rows + o_m).to(tl.int64) * CO
    tl.store(
        part_ptr + o_part[:, None] + o_col[None, :], acc.to(part_ptr.dtype.element_ty), mask=m_row[:, None] & m_col
    )


@triton.jit(do_not_specialize=["n", "n_below", "clamp", "rgb_clamp"])
def sum_parts_kernel(
    part_ptr,  # [PARTS, N, H, W, O] float32
    y_ptr,  # [N, H, W, O] fp16, bf16 or fp32
    scale_ptr,  # [N, O] float32
    noise_ptr,  # [1 or N, H * W] float32
    bias_ptr,  # [O] float32
    next_ptr,  # [N, O] float32: the style of the layer that reads y
    rgb_style_ptr,  # [N, O] float32
    rgb_weight_ptr,  # [C, O] float32
    rgb_bias_ptr,  # [C] float32
    below_ptr,  # [NB, C, H / 2, W / 2] float32: the picture one level down
    rgb_ptr,  # [N, C, H, W] float32
    n,  # images N
    n_below,  # images of below; image i adds below[i % n_below]
    scale_stride,
    noise_stride,  # 0 if all images share the noise
    next_stride,
    rgb_style_stride,
    clamp,  # float, the bound of y's magnitude before the next style
    rgb_clamp,  # float, the bound of the colours' magnitude
    CO: tl.constexpr,  # channels O
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture
    PARTS: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_NEXT: tl.constexpr,
    HAS_RGB: tl.constexpr,
    HAS_BELOW: tl.constexpr,
    HAS_RGB_CLAMP: tl.constexpr,
    WRITE_Y: tl.constexpr,
    PDL: tl.constexpr,
    BM: tl.constexpr,  # pixels of a program
    BO: tl.constexpr,  # at least O, so that a program finishes the colours of its pixels
):
    """y = next * clamp(lrelu(scale * sum of parts + noise + bias)), and the picture from y before the product."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    o_o = tl.arange(0, BO)[None, :]
    m_row = o_m < n * (H * W)
    m_col = o_o < CO
    m_y = m_row[:, None] & m_col
    o_n = o_m // (H * W)
    o_pix = o_m % (H * W)
    o_y = o_m.to(tl.int64)[:, None] * CO + o_o
    acc = tl.zeros([BM, BO], tl.float32)
    for part in tl.static_range(PARTS):
        acc += tl.load(part_ptr + part * (n * (H * W * CO)).to(tl.int64) + o_y, mask=m_y, other=0.0)
    acc = activate(
        acc, o_n[:, None], o_pix[:, None], o_o, m_y, m_row[:, None], m_col, scale_ptr, scale_stride, noise_ptr,
        noise_stride, bias_ptr, clamp, HAS_SCALE, HAS_NOISE, HAS_BIAS, ACT, HAS_CLAMP,
    )  # fmt: skip
    if HAS_RGB:
        b_rs = tl.load(rgb_style_ptr + o_n[:, None] * rgb_style_stride + o_o, mask=m_y, other=0.0)
        for c in tl.static_range(C):
            b_rgb = tl.sum(acc * (b_rs * tl.load(rgb_weight_ptr + c * CO + o_o, mask=m_col, other=0.0)), axis=1)
            b_rgb = finish_colours(
                b_rgb, c, o_n, o_pix, m_row, rgb_bias_ptr, below_ptr, n_below, rgb_clamp, C, H, W, HAS_RGB_CLAMP,
                HAS_BELOW,
            )  # fmt: skip
            tl.store(rgb_ptr + (o_n * C + c) * (H * W) + o_pix, b_rgb, mask=m_row)
    if WRITE_Y:
        if HAS_NEXT:
            acc = acc * tl.load(next_ptr + o_n[:, None] * next_stride + o_o, mask=m_y, other=0.0)
        tl.store(y_ptr + o_y, acc.to(y_ptr.dtype.element_ty), mask=m_y)


@triton.jit
def _intermediate(
    p_row,  # products of the pixels (y, x) with tap 0: [BM, BO] pointers
    tap_stride,  # distance between the products of two taps
    y,  # the low-resolution pixels: [BM, 1]
    x,
    mask,  # of pixels and channels: [BM, BO]
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    DY: tl.constexpr,  # -1 to 3
    DX: tl.constexpr,
):
    """t[2 y + DY, 2 x + DX] of the transposed convolution: the sum of one, two or four products, [BM, BO] float32."""
    total = tl.zeros(p_row.shape, tl.float32)
    for ju in tl.static_range(2 - DY % 2):
        for jv in tl.static_range(2 - DX % 2):
            # An odd row has tap 1 of its pixel; an even one has tap 0 of its pixel and tap 2 of the one before.
            sy = (DY - DY % 2) // 2 - ju
            sx = (DX - DX % 2) // 2 - jv
            tap = (2 * ju + DY % 2) * 3 + 2 * jv + DX % 2
            m_in = mask & (y + sy >= 0) & (y + sy < H) & (x + sx >= 0) & (x + sx < W)
            p_t = p_row + tap * tap_stride + (sy * W + sx) * C
            total += tl.load(p_t, mask=m_in, other=0.0).to(tl.float32)
    return total


@triton.jit(do_not_specialize=["n", "clamp"])
def sum_taps_kernel(
    part_ptr,  # [9, N, H, W, O] fp16, bf16 or fp32: products with each tap
    y_ptr,  # [N, 2 H, 2 W, O] of x's type
    scale_ptr,  # [N, O] float32
    noise_ptr,  # [1 or N, 2 H * 2 W] float32
    bias_ptr,  # [O] float32
    next_ptr,  # [N, O] float32: the style of the layer that reads y
    n,  # images N
    scale_stride,
    noise_stride,  # 0 if all images share the noise
    next_stride,
    clamp,  # float, the bound of y's magnitude before the next style
    CO: tl.constexpr,  # channels O
    H: tl.constexpr,  # of the low resolution
    W: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_NEXT: tl.constexpr,
    PDL: tl.constexpr,
    BM: tl.constexpr,  # low-resolution pixels of a program
    BO: tl.constexpr,  # channels of a program
):
    """y = next * clamp(lrelu(scale * FIR(transposed convolution) + noise + bias)), 2 x 2 outputs of each pixel.

    Each of the 25 intermediate pixels around them is summed once from its products, 49 reads for four outputs.
    """
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    C_BLOCKS: tl.constexpr = (CO + BO - 1) // BO
    o_o = ((tl.program_id(0) % C_BLOCKS) * BO + tl.arange(0, BO))[None, :]
    o_m = ((tl.program_id(0) // C_BLOCKS) * BM + tl.arange(0, BM))[:, None]
    m_col = o_o < CO
    m_row = o_m < n * (H * W)
    mask = m_row & m_col
    o_n = o_m // (H * W)
    y = (o_m // W) % H
    x = o_m % W
    tap_stride = n.to(tl.int64) * (H * W * CO)
    p_row = part_ptr + o_m.to(tl.int64) * CO + o_o
    top_left = tl.zeros([BM, BO], tl.float32)
    top_right = tl.zeros([BM, BO], tl.float32)
    low_left = tl.zeros([BM, BO], tl.float32)
    low_right = tl.zeros([BM, BO], tl.float32)
    # The filter [1, 3, 3, 1] / 4 along each axis, for the output of parity 0 and, one later, for that of parity 1.
    for i in tl.static_range(5):
        left = tl.zeros([BM, BO], tl.float32)
        right = tl.zeros([BM, BO], tl.float32)
        for j in tl.static_range(5):
            t = _intermediate(p_row, tap_stride, y, x, mask, H, W, CO, i - 1, j - 1)
            if j < 4:
                left += t * (0.25 if j == 0 or j == 3 else 0.75)
            if j > 0:
                right += t * (0.25 if j == 1 or j == 4 else 0.75)
        if i < 4:
            top_left += left * (0.25 if i == 0 or i == 3 else 0.75)
            top_right += right * (0.25 if i == 0 or i == 3 else 0.75)
        if i > 0:
            low_left += left * (0.25 if i == 1 or i == 4 else 0.75)
            low_right += right * (0.25 if i == 1 or i == 4 else 0.75)
    for phase in tl.static_range(4):
        acc = top_left if phase == 0 else top_right if phase == 1 else low_left if phase == 2 else low_right
        o_pix = (2 * y + phase // 2) * (2 * W) + 2 * x + phase % 2
        acc = activate(
            acc, o_n, o_pix, o_o, mask, m_row, m_col, scale_ptr, scale_stride, noise_ptr, noise_stride, bias_ptr,
            clamp, HAS_SCALE, HAS_NOISE, HAS_BIAS, ACT, HAS_CLAMP,
        )  # fmt: skip
        if HAS_NEXT:
            acc = acc * tl.load(next_ptr + o_n * next_stride + o_o, mask=mask, other=0.0)
        o_out = (o_n.to(tl.int64) * (4 * H * W) + o_pix) * CO
        tl.store(y_ptr + o_out + o_o, acc.to(y_ptr.dtype.element_ty), mask=mask)
