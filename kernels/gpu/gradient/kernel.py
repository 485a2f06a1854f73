"""Gradients through a scale per image and channel, with or without the activation behind it.

y = f(scale * c) with f = noise, bias, leaky ReLU, clamp: the gradients of c and scale need one pass over y and its
gradient. The product style * x is the same case without f. The gradient of each convolution uses both.
"""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n_ref", "clamp"])
def scale_gradient_kernel(
    d_ptr,  # [N, P, C] fp16, bf16 or fp32: gradient of y if ACT, else of style * x
    ref_ptr,  # [NREF, P, C] of d's type: the output y if ACT, else the input x
    scale_ptr,  # [N, C] float32
    noise_ptr,  # [1 or N, P] float32
    bias_ptr,  # [C] float32
    out_ptr,  # [N, P, C] of d's type: gradient of the operand that is multiplied by the scale
    part_ptr,  # [N, chunks, C] float32: partial sums of the scale's gradient (times the scale if ACT)
    n_ref,  # images of ref; image i reads ref[i % n_ref]
    scale_stride,
    noise_stride,  # 0 if all images share the noise
    clamp,  # float, the bound of y's magnitude
    P: tl.constexpr,  # pixels of an image
    C: tl.constexpr,  # channels
    ACT: tl.constexpr,  # whether the activation follows the scale
    HAS_NOISE: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_CLAMP: tl.constexpr,
    CHUNK: tl.constexpr,  # pixels of a program
    BM: tl.constexpr,  # pixels of a step, which divide CHUNK
    BC: tl.constexpr,  # channels of a program
):
    """out = scale f'(d) and part = sum over pixels of f'(d) * the scaled operand; f' is the identity without ACT."""
    CHUNKS: tl.constexpr = (P + CHUNK - 1) // CHUNK
    i_chunk = tl.program_id(0)
    i_n = tl.program_id(1)
    o_c = tl.program_id(2) * BC + tl.arange(0, BC)
    m_c = o_c < C
    b_scale = tl.load(scale_ptr + i_n * scale_stride + o_c, mask=m_c, other=0.0)[None, :]
    if HAS_BIAS:
        b_bias = tl.load(bias_ptr + o_c, mask=m_c, other=0.0)[None, :]
    total = tl.zeros([BC], tl.float32)
    for start in range(0, CHUNK, BM):
        o_p = i_chunk * CHUNK + start + tl.arange(0, BM)
        m_p = o_p < P
        m = m_p[:, None] & m_c[None, :]
        o_in = o_p[:, None] * C + o_c[None, :]
        b_d = tl.load(d_ptr + i_n.to(tl.int64) * (P * C) + o_in, mask=m, other=0.0).to(tl.float32)
        b_ref = tl.load(ref_ptr + (i_n % n_ref).to(tl.int64) * (P * C) + o_in, mask=m, other=0.0).to(tl.float32)
        if ACT:
            if HAS_CLAMP:
                b_d = tl.where(tl.abs(b_ref) < clamp, b_d, 0.0)
            b_d = tl.where(b_ref >= 0, b_d, b_d * 0.2)
            # The leaky ReLU is inverted, so that the forward pass keeps y alone.
            b_ref = tl.where(b_ref >= 0, b_ref, b_ref * 5.0)
            if HAS_NOISE:
                b_ref -= tl.load(noise_ptr + i_n * noise_stride + o_p, mask=m_p, other=0.0)[:, None]
            if HAS_BIAS:
                b_ref -= b_bias
        total += tl.sum(tl.where(m, b_d * b_ref, 0.0), axis=0)
        b_out = (b_d * b_scale).to(out_ptr.dtype.element_ty)
        tl.store(out_ptr + i_n.to(tl.int64) * (P * C) + o_in, b_out, mask=m)
    tl.store(part_ptr + (i_n * CHUNKS + i_chunk) * C + o_c, total, mask=m_c)
