"""The table of types: what the values of a map mean and how files encode them.

A generator shows every type as a picture. So a type has a display code u in [0, 1], which G(w + d) is fitted to show,
and a value, which users read. An `Intrinsic` describes both; sgi.engine.decoding has the formulas between them.
A built-in type is one row of `INTRINSICS`. Code that names, fits, measures, decodes, writes or documents types reads
this table. Offset files and exported models store the `Intrinsic`, never the other fields of a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.decoding import DECODINGS, NUMPY, Floats, Operations
from sgi.engine.errors import UserError
from sgi.engine.palette import MAX_CLASSES, palette

SHADING_MAX = 1.5
LARGEST = 1e30
"""Bound of ranges: far inside float32, in which maps are computed."""
MASK = "mask-"
MASK_THRESHOLD = 0.5
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
IMAGE = "image"
IMAGE_CHANNELS = (1, 3, 4)
"""Numbers of channels of the pictures of generators that the type `image` has."""
_IMAGE_MEANINGS = {
    1: "the generated picture, grey, sRGB-encoded",
    4: "the generated picture of four channels, which PNG files store as RGBA",
}
_TAKEN = ("all", "label", "psi", "w", "ws", "z")  # the word for every type, and the inputs of an exported model


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST < value < LARGEST


@dataclass(frozen=True)
class Intrinsic:
    """One type of map.

    channels: number of channels of a value, 1 or 3; 4 only for `image`. low, high: range of a value. decoding: how a
    display code becomes a value, a key of `sgi.engine.decoding.DECODINGS`. meaning: semantics, units, axes, colour
    space. png_bits: bits per channel in a PNG file. classes: names of a segmentation's classes in the order of their
    indices; only for the decoding `palette`; empty until a teacher provides them.

    Raises UserError, which names the type, for fields that contradict each other.
    """

    name: str
    channels: int
    low: float
    high: float
    decoding: str
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
        for what in self._contradictions():
            raise UserError(f"type {self.name}: {what}")

    def _contradictions(self) -> Iterator[str]:
        """What is wrong; a value is formatted only where it is wrong."""
        decoding = DECODINGS.get(self.decoding) if isinstance(self.decoding, str) else None
        if self.channels not in (IMAGE_CHANNELS if self.name == IMAGE else (1, 3)) or isinstance(self.channels, bool):
            yield f"has {self.channels} channels, not 1{', 3 or 4' if self.name == IMAGE else ' or 3'}"
        if not (_is_number(self.low) and _is_number(self.high) and self.low < self.high):
            yield f"its range is {self.low} to {self.high}, not two numbers in order"
        if decoding is None:
            yield f"decoding {self.decoding}: choose from {', '.join(DECODINGS)}"
            return
        if not isinstance(self.meaning, str):
            yield "its meaning is not a text"
        if self.png_bits != 8 and not (self.png_bits == 16 and self.channels == 1):
            yield "png_bits is 8, or 16 of one channel"
        if not (isinstance(self.classes, tuple) and all(isinstance(label, str) for label in self.classes)):
            yield "its classes are not a list of names"
        if any(getattr(self, name) != value for name, value in decoding.fixed.items()):
            yield decoding.rule
        count = len(self.classes)
        if count and not decoding.has_classes:
            yield "classes need the decoding `palette`"
        if count and not 2 <= count <= MAX_CLASSES:
            yield f"has {count} classes, not 2 to {MAX_CLASSES}"
        if count and (self.low, self.high) != (0, count - 1):
            yield f"indices of {count} classes are 0 to {count - 1}"

    @property
    def code_channels(self) -> int:
        """Number of channels of the display code: 1 is the mean over those of the generator, 3 and 4 are these."""
        return DECODINGS[self.decoding].code_channels or self.channels

    @property
    def is_mask(self) -> bool:
        """Whether the type is a mask: values of at least `MASK_THRESHOLD` are inside a class, lower ones outside."""
        return self.name.startswith(MASK)

    @property
    def png_code(self) -> str:
        """The code of a PNG file as a formula of the value."""
        share = {0.0: "value", -1.0: "(value + 1)"}.get(self.low, f"(value - {self.low:g})")
        share += "" if self.high - self.low == 1 else f" / {self.high - self.low:g}"
        if self.png_bits == 16:
            return f"{share} * 65535"
        return DECODINGS[self.decoding].png_code.format(share=share)

    def with_classes(self, classes: tuple[str, ...]) -> Intrinsic:
        """This segmentation with class names of a teacher; raises UserError unless there are 2 to 256."""
        return replace(self, classes=classes, high=max(1, len(classes) - 1))

    def to_dict(self) -> dict[str, Any]:
        """The row as JSON-ready values."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_dict(cls, values: object) -> Intrinsic:
        """The inverse of `to_dict`; fields that a built-in type leaves out are those of its row in the table.

        Raises UserError for anything but a mapping, a missing or unknown field, fields that contradict each other,
        and a built-in name with other channels or another decoding than in the table.
        """
        if not isinstance(values, dict):
            raise UserError("a type's description has no fields")
        name = values.get("name")
        known = find(name)
        unknown = set(values) - {f.name for f in fields(cls)}
        if unknown:
            raise UserError(f"type {name}: unknown field {', '.join(sorted(unknown))}")
        try:
            row = cls(**{**(asdict(known) if known else {}), **values})
        except TypeError as error:
            raise UserError(f"type {name}: lacks a field or has one of a wrong kind ({error})") from None
        channels = (row if row.name == IMAGE else known or row).channels  # an image has those of its generator
        if known and (row.channels, row.decoding) != (channels, known.decoding):
            raise UserError(
                f"type {name}: {row.channels} channels decoded by {row.decoding} are not the built-in {name}"
            )
        return row


@dataclass(frozen=True)
class TypeRow:
    """One row of the table: a built-in type, and how it is fitted, measured and read from ONNX teachers.

    Files store only `intrinsic`; a user-defined type has the defaults of the other fields. in_all: whether `all`
    includes the type where offsets are fitted. loss: default loss, an expression of sgi.trainer.losses; None for the
    loss of the decoding. measures: a key of `sgi.trainer.measures.by_type.FAMILIES`; None for the family of the
    decoding. reading: meaning of a raw output of an ONNX teacher, a key of
    `sgi.trainer.teachers.onnx_description.READINGS`.
    """

    intrinsic: Intrinsic
    in_all: bool = False
    loss: str | None = None
    measures: str | None = None
    reading: str = "codes"


_TABLE = (
    TypeRow(Intrinsic(
        "image", 3, 0.0, 1.0, "identity",
        meaning="the generated picture, sRGB-encoded",
    )),
    TypeRow(Intrinsic(
        "depth", 1, 0.0, 1.0, "inverse",
        meaning="relative distance along the viewing axis, 0 near to 1 far",
        png_bits=16,
    ), in_all=True, measures="scale-shift", reading="distance"),
    TypeRow(Intrinsic(
        "normal", 3, -1.0, 1.0, "unit",
        meaning="unit surface normal in camera space: +X right, +Y up, +Z to the viewer",
    ), in_all=True, reading="direction"),
    TypeRow(Intrinsic(
        "albedo", 3, 0.0, 1.0, "linear",
        meaning="linear reflectance; image = albedo * shading in linear light",
    ), in_all=True, reading="reflectance"),
    TypeRow(Intrinsic(
        "shading", 1, 0.0, SHADING_MAX, "linear",
        meaning=f"linear light on a white surface, 0 to {SHADING_MAX}",
        png_bits=16,
    ), in_all=True, reading="light"),
    TypeRow(Intrinsic(
        "edges", 1, 0.0, 1.0, "identity",
        meaning="strength of the edge through a pixel, 0 none to 1 strongest",
    ), loss="l2", measures="correlation"),
    TypeRow(Intrinsic(
        "segmentation", 1, 0.0, MAX_CLASSES - 1.0, "palette",
        meaning="index of the class of a pixel, in the order of the type's classes",
    ), reading="classes"),
)  # fmt: skip

INTRINSICS: dict[str, TypeRow] = {row.intrinsic.name: row for row in _TABLE}
"""Name -> row of every built-in type but the masks, which `find` makes from their names."""
SEGMENTATION = "segmentation"
MAP_TYPES = tuple(name for name, row in INTRINSICS.items() if row.in_all)
"""The intrinsic images of a picture; `all` means these where offsets are fitted."""

Kind = str | Intrinsic
"""A type: its description, or its name if it is built in."""


def find_row(name: object) -> TypeRow | None:
    """The row of a built-in type, including `mask-CLASS`; None for any other name and for values that are not names."""
    if not isinstance(name, str):
        return None
    if name.startswith(MASK) and len(name) > len(MASK):
        meaning = f"how much of the pixel is {name.removeprefix(MASK)}; from 0.5 on it is inside"
        return TypeRow(Intrinsic(name, 1, 0.0, 1.0, "identity", meaning), loss="l2", measures="mask")
    return INTRINSICS.get(name)


def row_of(kind: Intrinsic) -> TypeRow:
    """The row of the built-in type with the name of `kind`; a row of defaults for a user-defined type."""
    return find_row(kind.name) or TypeRow(kind)


def find(name: object) -> Intrinsic | None:
    """The description of a built-in type, including `mask-CLASS`; None for anything else."""
    row = find_row(name)
    return row.intrinsic if row else None


def get(kind: Kind) -> Intrinsic:
    """The description of a type from itself or its name; raises UserError for a name that is not built in."""
    if isinstance(kind, Intrinsic):
        return kind
    found = find(kind)
    if found is None:
        raise UserError(f"unknown type {kind!r}: choose from {', '.join(INTRINSICS)}, {MASK}CLASS")
    return found


def image_of(channels: int) -> Intrinsic:
    """The type `image` of a generator of pictures of 1, 3 or 4 channels; raises UserError for another number."""
    if channels not in IMAGE_CHANNELS:
        raise UserError(f"`types={IMAGE}`: the pictures of the generator have {channels} channels, not 1, 3 or 4")
    known = INTRINSICS[IMAGE].intrinsic
    return replace(known, channels=channels, meaning=_IMAGE_MEANINGS.get(channels, known.meaning))


def check_channels(kind: Intrinsic, channels: int) -> None:
    """Raise UserError where a generator whose pictures have this number of channels cannot show a type."""
    if kind.code_channels not in (1, channels):
        raise UserError(
            f"`types={kind.name}`: it is shown in {kind.code_channels} channels, and pictures of the generator have "
            f"{channels}; choose a type of one channel, such as depth"
        )


def mask_name(label: str) -> str:
    """Name of the type of a class's masks: `mask-floor-lamp` for "Floor lamp"."""
    return MASK + re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def colours(kind: Kind) -> NDArray[np.float64]:
    """Colours [K, 3] in [0, 1] of the classes of a segmentation; raises UserError if it has no classes."""
    intrinsic = get(kind)
    _require_classes(intrinsic)
    return palette(len(intrinsic.classes))


def decode(kind: Kind, u: Floats) -> Floats:
    """Values [..., channels, H, W] of display codes u [..., code_channels, H, W] in [0, 1].

    See `sgi.engine.decoding.DECODINGS` for the formulas. Raises UserError for a segmentation without classes.
    """
    return decode_with(kind, u, NUMPY)


def decode_with(kind: Kind, u: Any, operations: Operations) -> Any:
    """`decode` in another framework: u and the result are arrays of the framework of `operations`."""
    intrinsic = get(kind)
    _require_classes(intrinsic)
    return DECODINGS[intrinsic.decoding].decode(intrinsic, u, operations)


def encode(kind: Kind, value: Floats) -> Floats:
    """Display codes [..., code_channels, H, W] of values [..., channels, H, W], clipped to [0, 1].

    The inverse of `decode`. Raises UserError for a segmentation without classes.
    """
    intrinsic = get(kind)
    _require_classes(intrinsic)
    return np.clip(DECODINGS[intrinsic.decoding].encode(intrinsic, value), 0.0, 1.0)


def _require_classes(intrinsic: Intrinsic) -> None:
    if DECODINGS[intrinsic.decoding].has_classes and not intrinsic.classes:
        raise UserError(f"type {intrinsic.name}: its classes are not known; a teacher or an offset file names them")
