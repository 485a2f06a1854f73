"""Device functions shared by the kernels: the epilogue of a convolution, and the skip path's upsampling.

Prefixes of names in all kernels: *_ptr an operand's pointer, p_ a block of pointers, b_ a block of values, o_ offsets,
m_ a mask, i_ a program id or a position. *_stride: distance between the vectors of two images, in elements.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def load_operand(
    ptr,  # [BM, BK] or [BK, BN] pointers
    mask,  # of ptr's shape
    UPCAST: tl.constexpr,  # bfloat16 in the interpreter, which keeps it as raw integers
):
    """A block of values for tl.dot, 0 where masked, in float32 if UPCAST."""
    value = tl.load(ptr, mask=mask, other=0.0)
    if UPCAST:
        value = value.to(tl.float32)
    return value


@triton.jit
def prefetch(
    ptr,  # first element of a tensor
    o,  # offsets: [S]
    mask,  # [S]
):
    """Copy the elements at the offsets from memory to the L2 cache, without waiting; not in the interpreter."""
    p = (ptr + tl.where(mask, o, 0)).to(tl.int64)
    tl.inline_asm_elementwise(
        "prefetch.global.L2 [$1]; mov.b32 $0, 0;", "=r,l", [p], dtype=tl.int32, is_pure=False, pack=1
    )


@triton.jit
def activate(
    b_acc,  # [BM, BN] float32
    o_n,  # image of each row: a scalar if the block lies in one image, else [BM, 1]
    o_pix,  # output pixel: [BM, 1], or [BM, BN] if columns hold several phases
    o_out,  # output channel: [1, BN]
    m_vec,  # mask of a vector of each image: [1, BN] or [BM, BN]
    m_pix,  # mask of o_pix, of its shape
    m_col,  # mask of columns: [1, BN]
    scale_ptr,  # [N, O] float32: demodulation, gain sqrt 2 and the norms of weights and styles
    scale_stride,
    noise_ptr,  # [1 or N, HO * WO] float32
    noise_stride,
    bias_ptr,  # [O] float32
    clamp,  # float, the bound of the output's magnitude
    HAS_SCALE: tl.constexpr,
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    ACT: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
):
    """clamp(lrelu(b_acc * scale + noise + bias)); the gain sqrt 2 of the leaky ReLU is in the operands."""
    if HAS_SCALE:
        b_acc = b_acc * tl.load(scale_ptr + o_n * scale_stride + o_out, mask=m_vec, other=0.0)
    if HAS_NOISE:
        b_acc = b_acc + tl.load(noise_ptr + o_n * noise_stride + o_pix, mask=m_pix, other=0.0)
    if HAS_BIAS:
        b_acc = b_acc + tl.load(bias_ptr + o_out, mask=m_col, other=0.0)
    return bounded_lrelu(b_acc, clamp, ACT, HAS_CLAMP)


@triton.jit
def bounded_lrelu(b, clamp, ACT: tl.constexpr, HAS_CLAMP: tl.constexpr):
    """The leaky ReLU of slope 0.2 without gain if ACT, bounded to +-clamp if HAS_CLAMP."""
    if ACT:
        b = tl.where(b >= 0, b, b * 0.2)
    if HAS_CLAMP:
        b = tl.minimum(tl.maximum(b, -clamp), clamp)
    return b


@triton.jit
def upsampled(
    img_ptr,  # first pixel of a plane [HP, WP] float32: a scalar, or [BM] pointers, one for each pixel
    o_y,  # row at twice the side: [BM]
    o_x,  # column at twice the side: [BM]
    m_row,  # mask of pixels: [BM]
    HP: tl.constexpr,  # height of the plane
    WP: tl.constexpr,  # width of the plane
):
    """Values [BM] of the plane upsampled by 2: zero insertion, then [1, 3, 3, 1] / 4 along each axis.

    Along an axis this is 3/4 of the pixel below and 1/4 of the nearer neighbour.
    """
    y0 = o_y // 2
    x0 = o_x // 2
    y1 = y0 + (o_y % 2) * 2 - 1
    x1 = x0 + (o_x % 2) * 2 - 1
    m_y = m_row & (y1 >= 0) & (y1 < HP)
    m_x = m_row & (x1 >= 0) & (x1 < WP)
    near = tl.load(img_ptr + y0 * WP + x0, mask=m_row, other=0.0)
    side = tl.load(img_ptr + y0 * WP + x1, mask=m_x, other=0.0)
    up = tl.load(img_ptr + y1 * WP + x0, mask=m_y, other=0.0)
    corner = tl.load(img_ptr + y1 * WP + x1, mask=m_x & m_y, other=0.0)
    return 0.5625 * near + 0.1875 * (side + up) + 0.0625 * corner
