"""The kernel of the up-convolution's fused form: transposed convolution and low-pass filter without an intermediate.

The horizontal filter is folded into the weight, which gives three taps for each parity of the output column. The
vertical filter works on the sums: a program walks down the rows of its columns and keeps the partial sums of the next
output rows in registers. These are 18 multiply-adds per input pixel, and each row of x is read once per program.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from sgi.kernels.gpu.conv.rows_kernel import load_block
from sgi.kernels.gpu.device_functions import activate, load_operand


@triton.jit
def _folded_tap(
    w_ptr,  # [9, I, O]
    style_ptr,  # [I] float32: the style of the image
    scale_ptr,  # [O] float32: the scale of the image
    tap: tl.constexpr,  # pixel of x that the tap reads: 0 left, 1 at, 2 right
    row,  # row of the 3x3 weight for each column: [COLUMNS]
    o_k,  # input channels: [BK]
    o_col,  # columns of 2 * O (parity, output channel): [COLUMNS]
    CI: tl.constexpr,
    CO: tl.constexpr,
    HAS_STYLE: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    UPCAST: tl.constexpr,
):
    """A tap of the weight with the horizontal filter, the style and scale / 4 in it: [BK, COLUMNS].

    Intermediate column 2 j is w0 x[j] + w2 x[j - 1], and 2 j + 1 is w1 x[j]. Output column 2 j sums the intermediate
    columns 2 j - 1 to 2 j + 2, and 2 j + 1 those from 2 j to 2 j + 3, both with [1, 3, 3, 1] / 4.
    """
    odd = o_col >= CO
    o_out = o_col % CO
    m_k = o_k < CI
    m_col = o_col < 2 * CO
    mask = m_k[:, None] & m_col[None, :]
    factor = tl.full([o_col.shape[0]], 0.0625, tl.float32)
    if HAS_SCALE:
        factor *= tl.load(scale_ptr + o_out, mask=m_col, other=0.0)
    p_w = w_ptr + o_k[:, None] * CO + (row * (3 * CI * CO) + o_out)[None, :]
    is_odd = odd[None, :]
    w1 = tl.load(p_w + CI * CO, mask=mask, other=0.0).to(tl.float32)
    if tap == 0:
        w2 = tl.load(p_w + 2 * CI * CO, mask=mask, other=0.0).to(tl.float32)
        total = tl.where(is_odd, w2, w1 + 3 * w2)
    elif tap == 1:
        w0 = tl.load(p_w, mask=mask, other=0.0).to(tl.float32)
        w2 = tl.load(p_w + 2 * CI * CO, mask=mask, other=0.0).to(tl.float32)
        total = 3 * w1 + tl.where(is_odd, w0 + 3 * w2, 3 * w0 + w2)
    else:
        w0 = tl.load(p_w, mask=mask, other=0.0).to(tl.float32)
        total = tl.where(is_odd, 3 * w0 + w1, w0)
    total *= factor[None, :]
    if HAS_STYLE:
        total *= tl.load(style_ptr + o_k, mask=m_k, other=0.0)[:, None]
    # One tap at a time: the barrier keeps the compiler from loading all of them at once, which needs more registers.
    tl.debug_barrier()
    dtype: tl.constexpr = tl.float32 if UPCAST else w_ptr.dtype.element_ty
    return total.to(dtype)


@triton.jit
def _noise_of_row(noise_ptr, o_y, o_x, m_y, W: tl.constexpr, HAS_NOISE: tl.constexpr):
    """Noise of the even and the odd pixels of a row of y, one of each per pixel of x: two times [BW], or 0."""
    even = 0.0
    odd = 0.0
    if HAS_NOISE:
        # A load of the whole block would read each value once per channel.
        p_noise = noise_ptr + o_y * (2 * W) + 2 * o_x
        m_x = m_y & (o_x < W)
        even = tl.load(p_noise, mask=m_x, other=0.0)[:, None]
        odd = tl.load(p_noise + 1, mask=m_x, other=0.0)[:, None]
    return even, odd


@triton.jit
def _write_row(
    acc,  # scaled sums: [BW, BN] float32
    noise,  # see _noise_of_row
    i_n,  # image
    o_y,  # row of y
    m_y,  # whether the program writes the row
    o_x,  # columns of x: [BW]
    o_out,
    odd,  # parity of each column: [BN]
    m_col,  # [1, BN]
    y_ptr,  # first pixel of the image
    bias_ptr,
    next_ptr,
    next_stride,
    clamp,
    CO: tl.constexpr,
    W: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_NEXT: tl.constexpr,
):
    """Write y[o_y, 2 o_x + odd] = next * clamp(lrelu(acc + noise + bias))."""
    m_x = m_y & (o_x < W)
    if HAS_NOISE:
        acc += tl.where(odd[None, :] > 0, noise[1], noise[0])
    o_pix = o_y * (2 * W) + 2 * o_x[:, None] + odd[None, :]
    acc = activate(
        acc, i_n, o_pix, o_out[None, :], m_col, m_x[:, None], m_col, bias_ptr, 0, bias_ptr, 0,
        bias_ptr, clamp, False, False, HAS_BIAS, ACT, HAS_CLAMP,
    )  # fmt: skip
    if HAS_NEXT:
        acc = acc * tl.load(next_ptr + i_n * next_stride + o_out[None, :], mask=m_col, other=0.0)
    tl.store(y_ptr + o_pix * CO + o_out[None, :], acc.to(y_ptr.dtype.element_ty), mask=m_x[:, None] & m_col)


@triton.jit
def _in_registers(b, REGISTERS: tl.constexpr):
    """b, which the matrix instructions then read from registers if REGISTERS, and from shared memory otherwise.

    The compiler leaves a loaded left operand in shared memory, and each product reads it from there. A computed one,
    such as the result of this move of 16-bit pairs, stays in registers, and several products share it.
    """
    if REGISTERS:
        b = tl.inline_asm_elementwise("mov.b32 $0, $1;", "=r,r", [b], dtype=b.dtype, is_pure=True, pack=2)
    return b


@triton.jit
def _row_of_x(
    x,  # pointer or descriptor, see the kernel
    i_image,
    i_y,  # row
    shift: tl.constexpr,  # -1 for the pixels left of o_x, 1 for those right of it
    x0,  # first column
    BW: tl.constexpr,  # columns
    BK: tl.constexpr,  # input channels
    CI: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    UPCAST: tl.constexpr,
    DESCRIPTOR: tl.constexpr,
    REGISTERS: tl.constexpr,
):
    """Pixels of a row of x, 0 outside the image: [BW, BK]."""
    if DESCRIPTOR:
        b = load_block(x, i_image.to(tl.int32), i_y, x0 + shift, 0, UPCAST)
    else:
        o_x = x0 + tl.arange(0, BW)
        o_k = tl.arange(0, BK)
        m_in = (o_x + shift >= 0) & (o_x + shift < W) & (i_y >= 0) & (i_y < H)
        # A scalar address and 32-bit offsets, the same for all shifts, need fewer registers than blocks of addresses.
        p_x = x + i_image.to(tl.int64) * (H * W * CI) + (i_y * W + shift) * CI
        b = load_operand(p_x + (o_x[:, None] * CI + o_k[None, :]), m_in[:, None] & (o_k < CI)[None, :], UPCAST)
    return _in_registers(b, REGISTERS)


@triton.jit(do_not_specialize=["nx", "clamp"])
def fused_up_conv_kernel(
    x,  # [NX, H, W, I] fp16, bf16 or fp32; a descriptor of blocks [1, 1, BW, BK] if DESCRIPTOR
    w_ptr,  # [9, I, O] of x's type
    y_ptr,  # [N, 2 H, 2 W, O] of x's type
    style_ptr,  # [N, I] float32
    scale_ptr,  # [N, O] float32
    noise_ptr,  # [1 or N, 2 H * 2 W] float32
    bias_ptr,  # [O] float32
    next_ptr,  # [N, O] float32: the style of the layer that reads y
    nx,  # images of x; image i reads x[i % nx]
    style_stride,
    scale_stride,
    noise_stride,  # 0 if all images share the noise
    next_stride,
    clamp,  # float, the bound of y's magnitude before the next style
    CI: tl.constexpr,  # input channels I
    CO: tl.constexpr,  # output channels O
    H: tl.constexpr,  # height of x
    W: tl.constexpr,  # width of x
    HAS_STYLE: tl.constexpr,
    HAS_SCALE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_NEXT: tl.constexpr,
    PRECISION: tl.constexpr,  # of tl.dot
    UPCAST: tl.constexpr,  # see load_operand
    DESCRIPTOR: tl.constexpr,  # whether x is a descriptor
    REGISTERS: tl.constexpr,  # see _in_registers
    BW: tl.constexpr,  # columns of x of a program
    BN: tl.constexpr,  # columns of the sums of a program, of 2 * O (parity, output channel)
    BK: tl.constexpr,  # at least I: the weight of a program stays in shared memory
    ROWS: tl.constexpr,  # rows of x of a program
):
    """y = next * clamp(lrelu(scale * FIR(convT(W, style * x)) + noise + bias)).

    One program computes the outputs of ROWS x BW pixels of x in BN columns. Its weight contains the style and the scale
    of its image. Intermediate row 2 i is t0 = W[0] x[i] + W[2] x[i - 1], and row 2 i + 1 is t1 = W[1] x[i]. Row i of x
    completes the output rows 2 i - 2 and 2 i - 1.
    """
    N_BLOCKS: tl.constexpr = (2 * CO + BN - 1) // BN
    X_BLOCKS: tl.constexpr = (W + BW - 1) // BW
    # The column blocks of a strip run side by side, because they read the same pixels.
    i_o = tl.program_id(0) % N_BLOCKS
    i_x = (tl.program_id(0) // N_BLOCKS) % X_BLOCKS
    first = tl.program_id(0) // (N_BLOCKS * X_BLOCKS) * ROWS
    i_n = tl.program_id(1)

    o_col = i_o * BN + tl.arange(0, BN)
    odd = o_col // CO
    o_out = o_col % CO
    m_col = (o_col < 2 * CO)[None, :]
    o_k = tl.arange(0, BK)
    x0 = i_x * BW
    o_x = x0 + tl.arange(0, BW)
    i_image = i_n % nx
    p_y = y_ptr + i_n.to(tl.int64) * (4 * H * W * CO)

    p_noise = noise_ptr
    if HAS_NOISE:
        p_noise += i_n * noise_stride
    p_style = style_ptr
    if HAS_STYLE:
        p_style += i_n * style_stride
    p_scale = scale_ptr
    if HAS_SCALE:
        p_scale += i_n * scale_stride
    top_row = tl.zeros([BN], tl.int32)
    top_left = _folded_tap(w_ptr, p_style, p_scale, 0, top_row, o_k, o_col, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)
    top = _folded_tap(w_ptr, p_style, p_scale, 1, top_row, o_k, o_col, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)
    top_right = _folded_tap(w_ptr, p_style, p_scale, 2, top_row, o_k, o_col, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)
    o_two = tl.arange(0, 2 * BN)
    two_row = 1 + o_two // BN
    o_two = i_o * BN + o_two % BN
    two_left = _folded_tap(w_ptr, p_style, p_scale, 0, two_row, o_k, o_two, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)
    two = _folded_tap(w_ptr, p_style, p_scale, 1, two_row, o_k, o_two, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)
    two_right = _folded_tap(w_ptr, p_style, p_scale, 2, two_row, o_k, o_two, CI, CO, HAS_STYLE, HAS_SCALE, UPCAST)

    # With the intermediate rows t of the rows above i: above = W[2] x[i - 1], rest1 = t[2 i - 1],
    # rest2 = t[2 i - 2] + 3 t[2 i - 1], rest3 = t[2 i - 3] + 3 t[2 i - 2] + 3 t[2 i - 1].
    above = tl.zeros([BW, BN], tl.float32)
    rest1 = tl.zeros([BW, BN], tl.float32)
    rest2 = tl.zeros([BW, BN], tl.float32)
    rest3 = tl.zeros([BW, BN], tl.float32)
    # The first two rows only fill the sums.
    for step in range(ROWS + 2):
        i_y = first - 1 + step
        m_y = (step >= 2) & (i_y <= H)
        # Loaded before the products, which take longer than memory.
        top_noise = _noise_of_row(p_noise, 2 * i_y - 2, o_x, m_y, W, HAS_NOISE)
        two_noise = _noise_of_row(p_noise, 2 * i_y - 1, o_x, m_y, W, HAS_NOISE)

        # One product for both other rows of the weight reads x once.
        left = _row_of_x(x, i_image, i_y, -1, x0, BW, BK, CI, H, W, UPCAST, DESCRIPTOR, REGISTERS)
        if DESCRIPTOR:
            # Each row is used up before the next one, so that one at a time is in registers.
            t0 = tl.dot(left, top_left, above, input_precision=PRECISION)
            both = tl.dot(left, two_left, input_precision=PRECISION)
            at = _row_of_x(x, i_image, i_y, 0, x0, BW, BK, CI, H, W, UPCAST, DESCRIPTOR, REGISTERS)
            t0 = tl.dot(at, top, t0, input_precision=PRECISION)
            both = tl.dot(at, two, both, input_precision=PRECISION)
            right = _row_of_x(x, i_image, i_y, 1, x0, BW, BK, CI, H, W, UPCAST, DESCRIPTOR, REGISTERS)
            t0 = tl.dot(right, top_right, t0, input_precision=PRECISION)
            both = tl.dot(right, two_right, both, input_precision=PRECISION)
        else:
            at = _row_of_x(x, i_image, i_y, 0, x0, BW, BK, CI, H, W, UPCAST, DESCRIPTOR, REGISTERS)
            right = _row_of_x(x, i_image, i_y, 1, x0, BW, BK, CI, H, W, UPCAST, DESCRIPTOR, REGISTERS)
            t0 = tl.dot(left, top_left, above, input_precision=PRECISION)
            t0 = tl.dot(at, top, t0, input_precision=PRECISION)
            t0 = tl.dot(right, top_right, t0, input_precision=PRECISION)
        _write_row(
            rest3 + t0, top_noise, i_n, 2 * i_y - 2, m_y, o_x, o_out, odd, m_col, p_y, bias_ptr, next_ptr,
            next_stride, clamp, CO, W, HAS_NOISE, HAS_BIAS, ACT, HAS_CLAMP, HAS_NEXT,
        )  # fmt: skip
        if not DESCRIPTOR:
            both = tl.dot(left, two_left, input_precision=PRECISION)
            both = tl.dot(at, two, both, input_precision=PRECISION)
            both = tl.dot(right, two_right, both, input_precision=PRECISION)
        t1, above = tl.split(tl.permute(tl.reshape(both, [BW, 2, BN]), [0, 2, 1]))
        _write_row(
            rest2 + 3 * t0 + t1, two_noise, i_n, 2 * i_y - 1, m_y, o_x, o_out, odd, m_col, p_y, bias_ptr, next_ptr,
            next_stride, clamp, CO, W, HAS_NOISE, HAS_BIAS, ACT, HAS_CLAMP, HAS_NEXT,
        )  # fmt: skip
        rest3 = rest1 + 3 * (t0 + t1)
        rest2 = t0 + 3 * t1
        rest1 = t1
