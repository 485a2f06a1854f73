"""The contact sheet: a PNG with one row for each seed and one column for each type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.png import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ROWS = 8
_SMALLEST, _LARGEST = 192, 256  # side of a cell in pixels: smaller maps are enlarged, larger ones reduced
_GAP = 8
_PAPER, _INK = (250, 250, 250), (60, 60, 60)


def write_sheet(path: Path, rows: Mapping[str, Mapping[str, np.ndarray]], types: Sequence[Intrinsic]) -> None:
    """Write a PNG with maps side by side.

    rows: {row label: {type: values [C, R, R]}}. Values are drawn as display codes: depth is bright where it is near,
    albedo and shading are sRGB-encoded, normals are colours, and classes have the colours of their palette.
    """
    codes = {label: {t.name: intrinsics.encode(t, maps[t.name]) for t in types} for label, maps in rows.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(draw_sheet(codes))


def draw_sheet(rows: Mapping[str, Mapping[str, np.ndarray]]) -> bytes:
    """The bytes of a PNG with labelled pictures in rows and columns.

    rows: {row label: {column label: display codes [1 or 3, R, R] in [0, 1]}}; every row has the same columns.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    cells = {label: {name: _picture(code) for name, code in row.items()} for label, row in rows.items()}
    columns = next(iter(cells.values()))
    side = next(iter(columns.values())).width
    margin = _GAP + max(int(font.getlength(label)) for label in rows) + _GAP
    head = 2 * _GAP + 15
    size = (margin + len(columns) * (side + _GAP), head + len(rows) * (side + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        draw.text((margin + column * (side + _GAP) + side / 2, head / 2), name, _INK, font, anchor="mm")
    for row, (label, pictures) in enumerate(cells.items()):
        top = head + row * (side + _GAP)
        draw.text((_GAP, top + side / 2), label, _INK, font, anchor="lm")
        for column, picture in enumerate(pictures.values()):
            sheet.paste(picture, (margin + column * (side + _GAP), top))
    return encode_png(np.asarray(sheet))


def _picture(code: np.ndarray) -> Picture:
    from PIL import Image

    pixels = (code * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)).convert("RGB")
    if picture.width > _LARGEST:
        return picture.resize((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    scale = max(1, _SMALLEST // picture.width)
    return picture.resize((picture.width * scale,) * 2, Image.Resampling.NEAREST)
