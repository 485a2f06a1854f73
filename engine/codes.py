"""Codes of maps in files of 8 and 16 bits, and the least values of all codes, so that a device can compute them.

`codes` is the one formula. It rounds a value to the nearest code, so for each code there is a least value that has it
or a higher one. `Steps` contains these values, found by bisection with `codes` itself. A device then counts the steps
that a value reaches: comparisons, whose result does not depend on how a device rounds, and the codes are those of
`codes` to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic, Kind

_FORMULA_16 = "16-bit grey: value = low + code / 65535 * (high - low)"
_FORMULA_CLASSES = "indexed: a pixel is the index of the class in `classes`"
_FORMULA_8 = {
    "identity": "value = low + u * (high - low)",
    "inverse": "value = low + (1 - u) * (high - low)",
    "linear": "value = low + linear(u) * (high - low), linear: inverse of the sRGB transfer function (IEC 61966-2-1)",
    "unit": "value = n / sqrt(|n|^2 + 1e-6), n = 2 u - 1",
}
_LARGEST_KEY = 0x7F7FFFFF  # the bits of the largest float32
_COMPARED = 1 << 13  # numbers on each side of the steps of a type that are compared


def codes(kind: Kind, value: NDArray[np.floating]) -> NDArray[Any]:
    """Codes [..., C, H, W], uint8 or uint16, of values [..., C, H, W] float32 of a type.

    8 bits hold the display code, 16 bits the value, scaled linearly from its range [low, high]; both are rounded to the
    nearest code: floor(u * 255 + 0.5), which for images equals NVIDIA's floor(x * 127.5 + 128). The codes of classes
    are their indices. Raises UserError for a segmentation without classes.
    """
    row = intrinsics.get(kind)
    if row.decoding == "palette":
        return np.clip(np.rint(value), 0, len(intrinsics.colours(row)) - 1).astype(np.uint8)
    if row.png_bits == 8:
        code = intrinsics.encode(row, value)
    else:
        code = np.clip((value - row.low) / (row.high - row.low), 0, 1)
    return (code * np.iinfo(dtype_of(row)).max + 0.5).astype(dtype_of(row))


def dtype_of(kind: Kind) -> Any:
    """The type of the codes of a type: uint8 or uint16."""
    return np.uint16 if intrinsics.get(kind).png_bits == 16 else np.uint8


def pixels_of(kind: Kind, value: NDArray[np.floating]) -> NDArray[Any]:
    """Codes [..., H, W, C], as pixels are stored in files, of values [..., C, H, W] of a type."""
    return np.moveaxis(codes(kind, value), -3, -1)


def values_of(kind: Kind, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Values [..., C, H, W] float32 of codes [..., H, W, C], as `pixels_of` gives them."""
    row = intrinsics.get(kind)
    planes = np.moveaxis(pixels, -1, -3).astype(np.float32)
    if row.decoding == "palette":
        return planes
    code = planes / (2**row.png_bits - 1)
    if row.png_bits == 8:
        return np.asarray(intrinsics.decode(row, code), np.float32)
    return row.low + code * np.float32(row.high - row.low)


def formula(kind: Kind) -> str:
    """How codes become values, for people who read files: the formula of `values_of`."""
    row = intrinsics.get(kind)
    if row.decoding == "palette":
        return _FORMULA_CLASSES
    if row.png_bits == 16:
        return _FORMULA_16
    colours = {1: "grey", 4: "RGBA"}.get(row.channels, "RGB")
    return f"8-bit {colours}: {_FORMULA_8[row.decoding]}, u = code / 255"


@dataclass(frozen=True)
class Steps:
    """The code of a value is the number of elements of `least` that are at most `sign` times the value.

    least: [K] float32, ascending; sign: -1 where codes fall with the value, else 1. dtype: of the codes, uint8 or
    uint16.
    """

    least: NDArray[np.float32]
    sign: int
    dtype: Any


@lru_cache
def steps(kind: Intrinsic) -> Steps | None:
    """The steps of a type; None where `codes` does not rise or fall everywhere, so that its codes are no steps.

    Raises UserError for a segmentation without classes.
    """
    ends = _codes_at(kind, np.array([-_LARGEST_KEY, _LARGEST_KEY]))
    sign = 1 if ends[0] < ends[1] else -1
    wanted = np.arange(1, int(ends.max()) + 1)
    low, high = np.full(len(wanted), -_LARGEST_KEY - 1), np.full(len(wanted), _LARGEST_KEY)
    while (high - low > 1).any():
        middle = (low + high) // 2
        reached = _codes_at(kind, sign * middle) >= wanted
        low, high = np.where(reached, low, middle), np.where(reached, middle, high)
    # A formula that is rounded in several places may fall by a code for a few values beside a step.
    reach = max(2, _COMPARED // len(wanted))
    near = np.clip(np.unique(high)[:, None] + np.arange(-reach, reach + 1), -_LARGEST_KEY, _LARGEST_KEY)
    if ends.min() != 0 or (np.diff(_codes_at(kind, sign * near).astype(np.int32), axis=1) < 0).any():
        return None
    return Steps(_floats(high), sign, ends.dtype)


def _codes_at(kind: Intrinsic, keys: NDArray[np.int64]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        return codes(kind, _floats(keys).reshape(1, 1, -1)).reshape(keys.shape)


def _floats(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 numbers of keys, consecutive integers in the order of the numbers; 0 is zero."""
    size = np.abs(keys).astype(np.uint32).view(np.float32)
    return np.where(keys < 0, -size, size)
