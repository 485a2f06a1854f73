"""The code of each value: a binary search in the least values of all codes."""
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def codes_kernel(
    x, least, codes, pixels, count, sign,
    C: tl.constexpr, BITS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """A block of codes [H, W, C] of one image; x: [N, C, H, W]; least: [count], ascending.

    Only comparisons, so the codes do not depend on how the device rounds; the product with the sign is exact.
    """
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = place < pixels * C
    value = sign * tl.load(x + image * pixels * C + place % C * pixels + place // C, mask=inside, other=0.0)
    found = tl.zeros([BLOCK], tl.int32)
    for bit in tl.static_range(BITS):
        tried = found + (1 << (BITS - 1 - bit))
        known = inside & (tried <= count)
        reached = known & (tl.load(least + tried - 1, mask=known, other=0.0) <= value)
        found = tl.where(reached, tried, found)
    tl.store(codes + image * pixels * C + place, found.to(codes.dtype.element_ty), mask=inside)
