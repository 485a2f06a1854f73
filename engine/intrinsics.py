"""The one table of types: what a map means, how the generator shows it, how files encode it.

A generator shows every type as a picture, so each type has a display code u in [0, 1] (what G(w + d) is
fitted to look like) and a value (what a user gets). This table holds both and the way between them;
everything that names, decodes, writes or documents a type reads it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError

Floats = NDArray[np.floating]
Decoding = Literal["identity", "inverse", "unit", "linear"]

SHADING_MAX = 1.5
UNIT_EPS = 1e-6


@dataclass(frozen=True)
class Intrinsic:
    """One type of map.

    channels: of the map, 1 (the mean of the generator's RGB) or 3. low, high: range of a value.
    decoding: how a display code becomes a value, see `decode`.
    meaning: semantics, units, axes, colour space.
    png_bits: bits a channel in a PNG file; png_code: what the code of a PNG says.
    """

    name: str
    channels: int
    low: float
    high: float
    decoding: Decoding
    meaning: str
    png_bits: Literal[8, 16]
    png_code: str


_TABLE = (
    Intrinsic(
        "image", 3, 0.0, 1.0, "identity",
        meaning="the generated picture, sRGB-encoded",
        png_bits=8, png_code="value * 255",
    ),
    Intrinsic(
        "depth", 1, 0.0, 1.0, "inverse",
        meaning="relative distance along the viewing axis, 0 near to 1 far",
        png_bits=16, png_code="value * 65535",
    ),
    Intrinsic(
        "normal", 3, -1.0, 1.0, "unit",
        meaning="unit surface normal in camera space: +X right, +Y up, +Z to the viewer",
        png_bits=8, png_code="(value + 1) / 2 * 255",
    ),
    Intrinsic(
        "albedo", 3, 0.0, 1.0, "linear",
        meaning="linear reflectance; image = albedo * shading in linear light",
        png_bits=8, png_code="sRGB encoding of value, * 255",
    ),
    Intrinsic(
        "shading", 1, 0.0, SHADING_MAX, "linear",
        meaning=f"linear light on a white surface, 0 to {SHADING_MAX}",
        png_bits=16, png_code=f"value / {SHADING_MAX} * 65535",
    ),
)  # fmt: skip

INTRINSICS: dict[str, Intrinsic] = {intrinsic.name: intrinsic for intrinsic in _TABLE}
IMAGE = "image"
MAP_TYPES = tuple(name for name in INTRINSICS if name != IMAGE)


def get(name: str) -> Intrinsic:
    """The table's row of a type; raises UserError for a name it does not have."""
    try:
        return INTRINSICS[name]
    except KeyError:
        raise UserError(f"unknown type {name!r}: choose from {', '.join(INTRINSICS)}") from None


def srgb_decode(u: Floats) -> Floats:
    """Linear light of sRGB codes in [0, 1]; IEC 61966-2-1."""
    return np.where(u <= 0.04045, u / 12.92, ((np.maximum(u, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_encode(linear: Floats) -> Floats:
    """sRGB codes of linear light in [0, 1]; IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def decode(name: str, u: Floats) -> Floats:
    """Values of display codes u [..., C, H, W] in [0, 1]; the channel axis is the third last."""
    intrinsic = get(name)
    if intrinsic.decoding == "identity":
        return u
    if intrinsic.decoding == "inverse":
        return 1.0 - u
    if intrinsic.decoding == "unit":
        n = 2.0 * u - 1.0
        return n / np.sqrt(np.square(n).sum(axis=-3, keepdims=True) + UNIT_EPS)
    return srgb_decode(u) * intrinsic.high


def encode(name: str, value: Floats) -> Floats:
    """Display codes of values [..., C, H, W], clipped to [0, 1]; the inverse of `decode`."""
    intrinsic = get(name)
    if intrinsic.decoding == "identity":
        u = value
    elif intrinsic.decoding == "inverse":
        u = 1.0 - value
    elif intrinsic.decoding == "unit":
        u = value * 0.5 + 0.5
    else:
        u = srgb_encode(np.clip(value / intrinsic.high, 0.0, 1.0))
    return np.clip(u, 0.0, 1.0)
