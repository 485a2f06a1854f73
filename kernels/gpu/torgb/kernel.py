"""To-rgb and the skip path: the colours of a resolution, added to the upsampled picture of the resolution below."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait

from sgi.kernels.gpu.device_functions import upsampled


@triton.jit
def finish_colours(
    b_rgb,  # [BM] float32: sums over input channels
    c,  # channel: a scalar or [BM]
    o_n,  # image: [BM]
    o_pix,  # pixel: [BM]
    m_row,  # mask: [BM]
    bias_ptr,  # [C] float32
    below_ptr,  # [NB, C, H / 2, W / 2] float32
    n_below,  # NB
    clamp,  # float, the bound of the colours' magnitude
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    HAS_BELOW: tl.constexpr,
):
    """clamp(b_rgb + bias) + up2(below): [BM]."""
    b_rgb += tl.load(bias_ptr + c)
    if HAS_CLAMP:
        b_rgb = tl.minimum(tl.maximum(b_rgb, -clamp), clamp)
    if HAS_BELOW:
        plane = ((o_n % n_below) * C + c) * ((H // 2) * (W // 2))
        b_rgb += upsampled(below_ptr + plane, o_pix // W, o_pix % W, m_row, H // 2, W // 2)
    return b_rgb


@triton.jit(do_not_specialize=["n", "nx", "n_below", "clamp"])
def torgb_kernel(
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    style_ptr,  # [N, I] float32, to-rgb's gain not in it
    weight_ptr,  # [C, I] float32, to-rgb's gain in it
    bias_ptr,  # [C] float32
    below_ptr,  # [NB, C, H / 2, W / 2] float32
    img_ptr,  # [N, C, H, W] float32
    n,  # images N; image i reads x[i % nx] and below[i % n_below]
    nx,  # images of x
    n_below,  # images of below
    style_stride,
    clamp,  # float, the bound of the colours' magnitude
    CI: tl.constexpr,  # input channels I
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture
    HAS_BELOW: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    BM: tl.constexpr,  # pixels of a program
    BI: tl.constexpr,  # at least I, so that each pixel is read once
):
    """img = clamp(weight (style * x) + bias) + up2(below)."""
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM]
    o_i = tl.arange(0, BI)
    m_row = o_m < n * (H * W)
    m_i = o_i < CI
    o_n = o_m // (H * W)
    o_pix = o_m % (H * W)
    o_x = ((o_n % nx).to(tl.int64) * (H * W) + o_pix) * CI
    m_x = m_row[:, None] & m_i[None, :]
    b_x = tl.load(x_ptr + o_x[:, None] + o_i[None, :], mask=m_x, other=0.0).to(tl.float32)
    b_x *= tl.load(style_ptr + o_n[:, None] * style_stride + o_i[None, :], mask=m_x, other=0.0)
    for c in tl.static_range(C):
        b_w = tl.load(weight_ptr + c * CI + o_i, mask=m_i, other=0.0)
        b_rgb = tl.sum(b_x * b_w[None, :], axis=1)
        b_rgb = finish_colours(
            b_rgb, c, o_n, o_pix, m_row, bias_ptr, below_ptr, n_below, clamp, C, H, W, HAS_CLAMP, HAS_BELOW
        )
        tl.store(img_ptr + (o_n * C + c) * (H * W) + o_pix, b_rgb, mask=m_row)


@triton.jit(do_not_specialize=["kinds", "nx", "n_below", "clamp"])
def apply_styles_kernel(
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    y_ptr,  # [N, H, W, I] of x's type
    next_ptr,  # [N, I] float32
    style_ptr,  # [N, I] float32: of to-rgb
    weight_ptr,  # [C, I] float32, to-rgb's gain in it
    bias_ptr,  # [C] float32
    below_ptr,  # [NB, C, H / 2, W / 2] float32
    img_ptr,  # [N, C, H, W] float32
    kinds,  # N / NX
    nx,  # images of x; image i reads x[i % nx] and below[i % n_below]
    n_below,  # images of below
    next_stride,
    style_stride,
    clamp,  # float, the bound of the colours' magnitude
    CI: tl.constexpr,  # channels I
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture
    HAS_RGB: tl.constexpr,
    HAS_BELOW: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    PDL: tl.constexpr,  # programmatic dependent launch
    BM: tl.constexpr,  # pixels of a program
    BI: tl.constexpr,  # at least I, so that each pixel is read once
):
    """y[k NX + i] = next[k NX + i] * x[i] for every kind k, and img = clamp(weight (style * x) + bias) + up2(below)."""
    if PDL:
        gdc_launch_dependents()
        gdc_wait()
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM] over NX x H x W
    o_i = tl.arange(0, BI)
    m_row = o_m < nx * (H * W)
    m_i = o_i < CI
    o_pix = o_m % (H * W)
    m_x = m_row[:, None] & m_i[None, :]
    # If all pixels of a program lie in one image, the image's vectors are [1, BI] instead of a gather of [BM, BI].
    ONE_IMAGE: tl.constexpr = (H * W) % BM == 0
    b_x = tl.load(x_ptr + o_m.to(tl.int64)[:, None] * CI + o_i[None, :], mask=m_x, other=0.0).to(tl.float32)
    for kind in range(kinds):
        o_n = kind * nx + o_m // (H * W)
        if ONE_IMAGE:
            b_n = kind * nx + (tl.program_id(0) * BM) // (H * W)
            m_vec = m_i[None, :]
        else:
            b_n = o_n[:, None]
            m_vec = m_x
        b_next = tl.load(next_ptr + b_n * next_stride + o_i[None, :], mask=m_vec, other=0.0)
        o_y = ((o_n.to(tl.int64) * (H * W) + o_pix) * CI)[:, None] + o_i[None, :]
        tl.store(y_ptr + o_y, (b_x * b_next).to(y_ptr.dtype.element_ty), mask=m_x)
        if HAS_RGB:
            b_s = tl.load(style_ptr + b_n * style_stride + o_i[None, :], mask=m_vec, other=0.0)
            for c in tl.static_range(C):
                b_w = b_s * tl.load(weight_ptr + c * CI + o_i, mask=m_i, other=0.0)[None, :]
                b_rgb = tl.sum(b_x * b_w, axis=1)
                b_rgb = finish_colours(
                    b_rgb, c, o_n, o_pix, m_row, bias_ptr, below_ptr, n_below, clamp, C, H, W, HAS_CLAMP, HAS_BELOW
                )
                tl.store(img_ptr + (o_n * C + c) * (H * W) + o_pix, b_rgb, mask=m_row)


@triton.jit(do_not_specialize=["n", "n_below", "clamp"])
def finish_kernel(
    parts_ptr,  # [PARTS, N, C, H, W] float32: partial sums, each over a block of channels
    bias_ptr,  # [C] float32
    below_ptr,  # [NB, C, H / 2, W / 2] float32
    img_ptr,  # [N, C, H, W] float32
    n,  # images N; image i reads below[i % n_below]
    n_below,  # images of below
    clamp,  # float, the bound of the colours' magnitude
    PARTS: tl.constexpr,  # number of partial sums
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,
    HAS_BELOW: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    BM: tl.constexpr,
):
    """img = clamp(sum of parts + bias) + up2(below), after a convolution of several blocks of channels."""
    o_m = tl.program_id(0) * BM + tl.arange(0, BM)  # [BM] over N x C x H x W
    m_row = o_m < n * (C * H * W)
    total = tl.zeros([BM], tl.float32)
    for part in tl.static_range(PARTS):
        total += tl.load(parts_ptr + part * (n * C * H * W) + o_m, mask=m_row, other=0.0)
    o_plane = o_m // (H * W)
    total = finish_colours(
        total, o_plane % C, o_plane // C, o_m % (H * W), m_row, bias_ptr, below_ptr, n_below, clamp,
        C, H, W, HAS_CLAMP, HAS_BELOW,
    )  # fmt: skip
    tl.store(img_ptr + o_m, total, mask=m_row)


@triton.jit(do_not_specialize=["nx"])
def torgb_gradient_kernel(
    d_ptr,  # [N, C, H, W] float32: gradient of the unclamped colours
    x_ptr,  # [NX, H, W, I] fp16, bf16 or fp32
    style_ptr,  # [N, I] float32
    weight_ptr,  # [C, I] float32
    dx_ptr,  # [N, H, W, I] of x's type
    ds_ptr,  # [N, chunks, I] float32: partial sums over pixels
    nx,  # images of x; image i reads x[i % nx]
    style_stride,
    CI: tl.constexpr,  # input channels I
    H: tl.constexpr,
    W: tl.constexpr,
    C: tl.constexpr,  # channels of the picture
    CHUNK: tl.constexpr,  # pixels of a program
    BM: tl.constexpr,  # pixels of a step, which divide CHUNK
    BI: tl.constexpr,  # input channels of a program
):
    """With g = sum over c of d[c] weight[c]: dx = style g and ds = sum over pixels of x g, in one pass over x."""
    CHUNKS: tl.constexpr = (H * W + CHUNK - 1) // CHUNK
    i_chunk = tl.program_id(0)
    i_n = tl.program_id(1)
    o_i = tl.program_id(2) * BI + tl.arange(0, BI)
    m_i = o_i < CI
    b_s = tl.load(style_ptr + i_n * style_stride + o_i, mask=m_i, other=0.0)[None, :]
    total = tl.zeros([BI], tl.float32)
    for start in range(0, CHUNK, BM):
        o_pix = i_chunk * CHUNK + start + tl.arange(0, BM)
        m_pix = o_pix < H * W
        m_x = m_pix[:, None] & m_i[None, :]
        b_g = tl.zeros([BM, BI], tl.float32)
        for c in tl.static_range(C):
            b_d = tl.load(d_ptr + (i_n * C + c) * (H * W) + o_pix, mask=m_pix, other=0.0)
            b_w = tl.load(weight_ptr + c * CI + o_i, mask=m_i, other=0.0)
            b_g += b_d[:, None] * b_w[None, :]
        o_x = (i_n % nx).to(tl.int64) * (H * W * CI) + o_pix[:, None] * CI + o_i[None, :]
        b_x = tl.load(x_ptr + o_x, mask=m_x, other=0.0).to(tl.float32)
        total += tl.sum(b_x * b_g, axis=0)
        o_dx = i_n.to(tl.int64) * (H * W * CI) + o_pix[:, None] * CI + o_i[None, :]
        tl.store(dx_ptr + o_dx, (b_g * b_s).to(dx_ptr.dtype.element_ty), mask=m_x)
    tl.store(ds_ptr + (i_n * CHUNKS + i_chunk) * CI + o_i, total, mask=m_i)
