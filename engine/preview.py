"""The contact sheet: one row for each seed, one column for each type, as the generator shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.files import atomic_write
from sgi.engine.png import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ROWS = 8
_SMALLEST, _LARGEST = 192, 256  # pixels of a cell's side: smaller maps are enlarged, larger ones reduced
_GAP = 8
_PAPER, _INK = (250, 250, 250), (60, 60, 60)


def write_sheet(path: Path, rows: Mapping[str, Mapping[str, np.ndarray]], types: Sequence[str]) -> None:
    """Write a PNG of maps beside each other.

    rows: {row label: {type: values [C, R, R]}}. Values are shown as display codes: depth bright where near, albedo and
    shading sRGB-encoded, normals as colours.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    cells = {label: [_picture(name, maps[name]) for name in types] for label, maps in rows.items()}
    side = next(iter(cells.values()))[0].width
    margin = _GAP + max(int(font.getlength(label)) for label in rows) + _GAP
    head = 2 * _GAP + 15
    size = (margin + len(types) * (side + _GAP), head + len(rows) * (side + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(types):
        draw.text((margin + column * (side + _GAP) + side / 2, head / 2), name, _INK, font, anchor="mm")
    for row, (label, pictures) in enumerate(cells.items()):
        top = head + row * (side + _GAP)
        draw.text((_GAP, top + side / 2), label, _INK, font, anchor="lm")
        for column, picture in enumerate(pictures):
            sheet.paste(picture, (margin + column * (side + _GAP), top))
    with atomic_write(path) as temporary:
        temporary.write_bytes(encode_png(np.asarray(sheet)))


def _picture(name: str, value: np.ndarray) -> Picture:
    from PIL import Image

    code = (intrinsics.encode(name, value) * 255 + 0.5).astype(np.uint8)
    picture = Image.fromarray(code[0] if len(code) == 1 else np.moveaxis(code, 0, -1)).convert("RGB")
    if picture.width > _LARGEST:
        return picture.resize((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    scale = max(1, _SMALLEST // picture.width)
    return picture.resize((picture.width * scale,) * 2, Image.Resampling.NEAREST)
