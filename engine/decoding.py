"""Decodings: the formulas from display codes to values, written once for NumPy, torch and ONNX graphs.

A display code u in [0, 1] is what a generator's picture shows of a map, a value is what a user reads. `DECODINGS` is
the table of all decodings; a type names one of them. The formulas use operators and the few `Operations` that
frameworks spell differently. sgi_type of the C API has the same decodings by the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sgi.engine.palette import nearest, palette

Floats = NDArray[np.floating]
UNIT_EPS = 1e-6  # keeps the length of a zero vector above zero


class Operations(Protocol):
    """What a formula needs of a framework besides its operators; x, y and u are arrays of the framework."""

    def maximum(self, x: Any, low: float) -> Any:
        """The larger of x and low, element by element."""
        ...

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        """x where the condition holds, else y."""
        ...

    def channel_sum(self, x: Any) -> Any:
        """Sum over the channels: [..., C, H, W] to [..., 1, H, W]."""
        ...

    def sqrt(self, x: Any) -> Any:
        """Square root, element by element."""
        ...

    def nearest(self, u: Any, colours: NDArray[np.float64]) -> Any:
        """Index [..., 1, H, W], as u's float type, of the colour [K, 3] that is nearest to u [..., 3, H, W]."""
        ...


class NumpyOperations:
    """`Operations` on NumPy arrays."""

    def maximum(self, x: Floats, low: float) -> Floats:
        """See `Operations`."""
        return np.maximum(x, low)

    def where(self, condition: Any, x: Floats, y: Floats) -> Floats:
        """See `Operations`."""
        return np.where(condition, x, y)

    def channel_sum(self, x: Floats) -> Floats:
        """See `Operations`."""
        return x.sum(axis=-3, keepdims=True)

    def sqrt(self, x: Floats) -> Floats:
        """See `Operations`."""
        return np.sqrt(x)

    def nearest(self, u: Floats, colours: NDArray[np.float64]) -> Floats:
        """See `Operations`."""
        return nearest(colours, u).astype(u.dtype)


NUMPY = NumpyOperations()


class Described(Protocol):
    """The fields of a type that formulas read."""

    @property
    def low(self) -> float:
        """Least value."""
        ...

    @property
    def high(self) -> float:
        """Largest value."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of a segmentation."""
        ...


@dataclass(frozen=True)
class Decoding:
    """One way from display codes to values and back.

    decode: (type, u [..., code channels, H, W], operations) -> values [..., channels, H, W].
    encode: (type, values) -> u, not clipped; NumPy only.
    png_code: the code of an 8-bit PNG file as a formula; {share} stands for (value - low) / (high - low).
    fixed: fields of a type that the decoding determines, and `rule`, the message for a type that differs.
    code_channels: channels of the display code where they are not those of the value.
    has_classes: whether values are indices of a type's classes.
    """

    decode: Callable[[Described, Any, Operations], Any]
    encode: Callable[[Described, Floats], Floats]
    png_code: str
    fixed: Mapping[str, float] = field(default_factory=dict)
    rule: str = ""
    code_channels: int | None = None
    has_classes: bool = False


def srgb_decode(u: Any, f: Operations = NUMPY) -> Any:
    """Linear light of sRGB codes in [0, 1]; IEC 61966-2-1."""
    low = u / 12.92
    # Without the maximum, where() would also compute the root of numbers below zero.
    base = (f.maximum(u, 0.04045) + 0.055) / 1.055
    return f.where(u <= 0.04045, low, base**2.4)


def srgb_encode(linear: Floats) -> Floats:
    """sRGB codes of linear light in [0, 1]; IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def _over_range(
    share_of: Callable[[Any, Operations], Any], code_of: Callable[[Floats], Floats], png_code: str
) -> Decoding:
    """A decoding to a share of the range in [0, 1], which is then stretched to [low, high]."""

    def decode(row: Described, u: Any, f: Operations) -> Any:
        return share_of(u, f) * (row.high - row.low) + row.low

    def encode(row: Described, value: Floats) -> Floats:
        return code_of((value - row.low) / (row.high - row.low))

    return Decoding(decode, encode, png_code)


def _decode_unit(row: Described, u: Any, f: Operations) -> Any:
    n = 2.0 * u - 1.0
    return n / f.sqrt(f.channel_sum(n * n) + UNIT_EPS)


def _encode_unit(row: Described, value: Floats) -> Floats:
    return (value + 1.0) / 2.0


def _decode_palette(row: Described, u: Any, f: Operations) -> Any:
    return f.nearest(u, palette(len(row.classes)))


def _encode_palette(row: Described, value: Floats) -> Floats:
    colours = palette(len(row.classes))
    index = np.clip(np.rint(value[..., 0, :, :]), 0, len(colours) - 1).astype(np.intp)
    return np.moveaxis(colours[index], -1, -3)


DECODINGS: dict[str, Decoding] = {
    "identity": _over_range(lambda u, f: u, lambda share: share, "{share} * 255"),
    "inverse": _over_range(lambda u, f: 1.0 - u, lambda share: 1.0 - share, "(1 - {share}) * 255"),
    "unit": Decoding(
        _decode_unit, _encode_unit, "{share} * 255",
        fixed={"channels": 3, "low": -1, "high": 1}, rule="unit vectors have 3 channels, -1 to 1",
    ),
    "linear": _over_range(
        srgb_decode, lambda share: srgb_encode(np.clip(share, 0.0, 1.0)), "sRGB encoding of {share}, * 255",
    ),
    "palette": Decoding(
        _decode_palette, _encode_palette, "index of the class, with a colour each",
        fixed={"channels": 1, "png_bits": 8}, rule="class indices have 1 channel and 8 bits",
        code_channels=3, has_classes=True,
    ),
}  # fmt: skip
"""Name -> decoding. Over the range [low, high]: identity, inverse (1 - u) and linear (linear light of the sRGB code u).
unit: 2 u - 1 scaled to length 1. palette: index of the class whose colour is nearest to u."""
