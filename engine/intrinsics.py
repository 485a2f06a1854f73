"""The one table of types: what a map means, how the generator shows it, how files encode it.

A generator shows every type as a picture, so each type has a display code u in [0, 1] (what G(w + d) is
fitted to look like) and a value (what a user gets). This table holds both and the way between them;
everything that names, decodes, writes or documents a type reads it here. Types of a user's own and the classes of a
segmentation travel as an `Intrinsic` inside offset files and exported models.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.palette import MAX_CLASSES, nearest, palette

Floats = NDArray[np.floating]
Decoding = Literal["identity", "inverse", "unit", "linear", "palette"]

SHADING_MAX = 1.5
UNIT_EPS = 1e-6
MASK = "mask-"
MASK_THRESHOLD = 0.5
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_TAKEN = ("all", "label", "psi", "z")  # the word for every type, and the inputs of an exported model


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Intrinsic:
    """One type of map.

    channels: of a value, 1 or 3. low, high: range of a value. decoding: how a display code becomes a value, see
    `decode`. meaning: semantics, units, axes, colour space. png_bits: bits a channel in a PNG file.
    classes: names of a segmentation's classes in the order of their indices; only for the decoding `palette`, where
    none means that the teacher has yet to name them.

    Raises UserError, naming the type, for values that do not go together.
    """

    name: str
    channels: int
    low: float
    high: float
    decoding: Decoding
    meaning: str
    png_bits: int = 8
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.classes, str):
            object.__setattr__(self, "classes", tuple(self.classes))
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name) and self.name not in _TAKEN):
            raise UserError(
                f"type {self.name!r}: a name has lower-case letters, digits and dashes, a letter first, and is none of "
                f"{', '.join(_TAKEN)}"
            )
        for holds, what in self._rules():
            if not holds:
                raise UserError(f"type {self.name}: {what}")

    def _rules(self) -> list[tuple[bool, str]]:
        in_order = _is_number(self.low) and _is_number(self.high) and self.low < self.high
        unit, labels = self.decoding == "unit", self.decoding == "palette"
        count = len(self.classes)
        return [
            (
                self.channels in (1, 3) and not isinstance(self.channels, bool),
                f"has {self.channels} channels, not 1 or 3",
            ),
            (in_order, f"its range is {self.low} to {self.high}, not two numbers in order"),
            (self.decoding in DECODINGS, f"decoding {self.decoding}: choose from {', '.join(DECODINGS)}"),
            (isinstance(self.meaning, str), "its meaning is no text"),
            (self.png_bits == 8 or (self.png_bits == 16 and self.channels == 1), "png_bits is 8, or 16 of one channel"),
            (
                isinstance(self.classes, tuple) and all(isinstance(label, str) for label in self.classes),
                "its classes are no list of names",
            ),
            (not unit or (self.channels, self.low, self.high) == (3, -1, 1), "unit vectors have 3 channels, -1 to 1"),
            (not labels or (self.channels, self.png_bits) == (1, 8), "class indices have 1 channel and 8 bits"),
            (not count or labels, "classes need the decoding `palette`"),
            (not count or 2 <= count <= MAX_CLASSES, f"has {count} classes, not 2 to {MAX_CLASSES}"),
            (not count or (self.low, self.high) == (0, count - 1), f"indices of {count} classes are 0 to {count - 1}"),
        ]

    @property
    def code_channels(self) -> int:
        """Channels of the display code: 1 is the mean over the generator's RGB, 3 are the RGB themselves."""
        return 3 if self.decoding == "palette" else self.channels

    @property
    def is_mask(self) -> bool:
        """Whether values of at least `MASK_THRESHOLD` are inside and the others outside of a class."""
        return self.name.startswith(MASK)

    @property
    def png_code(self) -> str:
        """What the code of a PNG file says, as a formula of the value."""
        if self.decoding == "palette":
            return "index of the class, with a colour each"
        share = {0.0: "value", -1.0: "(value + 1)"}.get(self.low, f"(value - {self.low:g})")
        share += "" if self.high - self.low == 1 else f" / {self.high - self.low:g}"
        if self.png_bits == 16:
            return f"{share} * 65535"
        return {"inverse": f"(1 - {share}) * 255", "linear": f"sRGB encoding of {share}, * 255"}.get(
            self.decoding, f"{share} * 255"
        )

    def with_classes(self, classes: tuple[str, ...]) -> Intrinsic:
        """This segmentation with the classes of a teacher; raises UserError unless they are 2 to 256."""
        return replace(self, classes=classes, high=max(1, len(classes) - 1))

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON-ready values."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: object) -> Intrinsic:
        """The inverse of `to_dict`. What a built-in type leaves out, its row of the table says.

        Raises UserError for no mapping, a missing or unknown field, values that do not go together, and a built-in
        name with other channels or another decoding than the table's.
        """
        if not isinstance(values, dict):
            raise UserError("a type's description has no fields")
        name = values.get("name")
        known = find(name)
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise UserError(f"type {name}: {', '.join(sorted(unknown))} is one field too many")
        try:
            row = cls(**{**(asdict(known) if known else {}), **values})
        except TypeError as error:
            raise UserError(f"type {name}: lacks a field or has one of a wrong kind ({error})") from None
        if known and (row.channels, row.decoding) != (known.channels, known.decoding):
            raise UserError(
                f"type {name}: {row.channels} channels decoded by {row.decoding} are not the built-in {name}"
            )
        return row


DECODINGS: tuple[str, ...] = get_args(Decoding)
_TABLE = (
    Intrinsic(
        "image", 3, 0.0, 1.0, "identity",
        meaning="the generated picture, sRGB-encoded",
    ),
    Intrinsic(
        "depth", 1, 0.0, 1.0, "inverse",
        meaning="relative distance along the viewing axis, 0 near to 1 far",
        png_bits=16,
    ),
    Intrinsic(
        "normal", 3, -1.0, 1.0, "unit",
        meaning="unit surface normal in camera space: +X right, +Y up, +Z to the viewer",
    ),
    Intrinsic(
        "albedo", 3, 0.0, 1.0, "linear",
        meaning="linear reflectance; image = albedo * shading in linear light",
    ),
    Intrinsic(
        "shading", 1, 0.0, SHADING_MAX, "linear",
        meaning=f"linear light on a white surface, 0 to {SHADING_MAX}",
        png_bits=16,
    ),
    Intrinsic(
        "edges", 1, 0.0, 1.0, "identity",
        meaning="strength of the edge through a pixel, 0 none to 1 strongest",
    ),
    Intrinsic(
        "segmentation", 1, 0.0, MAX_CLASSES - 1.0, "palette",
        meaning="index of the class of a pixel, in the order of the type's classes",
    ),
)  # fmt: skip

INTRINSICS: dict[str, Intrinsic] = {intrinsic.name: intrinsic for intrinsic in _TABLE}
IMAGE = "image"
SEGMENTATION = "segmentation"
MAP_TYPES = ("depth", "normal", "albedo", "shading")
"""The intrinsic images of a picture, which `all` stands for where offsets are fitted."""

Kind = str | Intrinsic
"""A type by its name, for built-in ones, or by its description."""


def find(name: object) -> Intrinsic | None:
    """The row of a built-in type, `mask-CLASS` among them, or None: also for what a damaged file has for a name."""
    if not isinstance(name, str):
        return None
    if name.startswith(MASK) and len(name) > len(MASK):
        inside = name.removeprefix(MASK)
        return Intrinsic(name, 1, 0.0, 1.0, "identity", f"how much of the pixel is {inside}; from 0.5 on it is inside")
    return INTRINSICS.get(name)


def get(kind: Kind) -> Intrinsic:
    """The description of a type, given one or its name; raises UserError for a name that is not built in."""
    if isinstance(kind, Intrinsic):
        return kind
    row = find(kind)
    if row is None:
        raise UserError(f"unknown type {kind!r}: choose from {', '.join(INTRINSICS)}, {MASK}CLASS")
    return row


def mask_name(label: str) -> str:
    """The type of the masks of a class: `mask-floor-lamp` of "Floor lamp"."""
    return MASK + re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def srgb_decode(u: Floats) -> Floats:
    """Linear light of sRGB codes in [0, 1]; IEC 61966-2-1."""
    return np.where(u <= 0.04045, u / 12.92, ((np.maximum(u, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_encode(linear: Floats) -> Floats:
    """sRGB codes of linear light in [0, 1]; IEC 61966-2-1."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def colours(kind: Kind) -> NDArray[np.float64]:
    """Colours [K, 3] in [0, 1] of the classes of a segmentation; raises UserError where it has none."""
    intrinsic = get(kind)
    if not intrinsic.classes:
        raise UserError(f"type {intrinsic.name}: its classes are not known; a teacher or an offset file names them")
    return palette(len(intrinsic.classes))


def decode(kind: Kind, u: Floats) -> Floats:
    """Values [..., channels, H, W] of display codes u [..., code_channels, H, W] in [0, 1].

    identity, inverse and linear: u, 1 - u and the linear light of u, stretched from [0, 1] to [low, high].
    unit: 2 u - 1 at length 1. palette: the index of the class whose colour is nearest.
    """
    intrinsic = get(kind)
    if intrinsic.decoding == "palette":
        return nearest(colours(intrinsic), u).astype(u.dtype)
    if intrinsic.decoding == "unit":
        n = 2.0 * u - 1.0
        return n / np.sqrt(np.square(n).sum(axis=-3, keepdims=True) + UNIT_EPS)
    share = u
    if intrinsic.decoding == "inverse":
        share = 1.0 - u
    elif intrinsic.decoding == "linear":
        share = srgb_decode(u)
    return share * (intrinsic.high - intrinsic.low) + intrinsic.low


def encode(kind: Kind, value: Floats) -> Floats:
    """Display codes of values [..., channels, H, W], clipped to [0, 1]; the inverse of `decode`."""
    intrinsic = get(kind)
    if intrinsic.decoding == "palette":
        table = colours(intrinsic)
        index = np.clip(np.rint(value[..., 0, :, :]), 0, len(table) - 1).astype(np.intp)
        return np.moveaxis(table[index], -1, -3)
    share = (value - intrinsic.low) / (intrinsic.high - intrinsic.low)
    if intrinsic.decoding == "inverse":
        share = 1.0 - share
    elif intrinsic.decoding == "linear":
        share = srgb_encode(np.clip(share, 0.0, 1.0))
    return np.clip(share, 0.0, 1.0)
