"""The rows of w+ that style each resolution."""

from __future__ import annotations


def first_row_of_side(side: int) -> int:
    """The first row of w+ that styles a convolution of `side` pixels, a power of two of at least 4.

    4 px has one row, every larger side has two.
    """
    return max(0, 2 * (side.bit_length() - 1) - 5)
