"""The contact sheet: a PNG with one row for each seed and one column for each type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.colour_map import viridis
from sgi.engine.writers.display import PAPER, Span, in_colours, is_coloured, span_of, to_rgb
from sgi.engine.writers.png import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ROWS = 8
_SMALLEST, _LARGEST = 192, 256  # side of a cell in pixels: smaller maps are enlarged, larger ones reduced
_GAP = 8
_BAR = (72, 10)  # width and height of a colour bar
_INK = (60, 60, 60)


def write_sheet(path: Path, rows: Mapping[str, Mapping[str, np.ndarray]], types: Sequence[Intrinsic]) -> None:
    """Write a PNG with maps side by side.

    rows: {row label: {type: values [C, R, R]}}. Values are drawn as display codes: albedo and shading are sRGB-encoded,
    normals are colours, and classes have the colours of their palette. Depth is drawn as `draw_sheet` describes.
    """
    codes = {label: {t.name: intrinsics.encode(t, maps[t.name]) for t in types} for label, maps in rows.items()}
    with atomic_write(path) as temporary:
        temporary.write_bytes(draw_sheet(codes, {t.name: t for t in types}))


def draw_sheet(rows: Mapping[str, Mapping[str, np.ndarray]], types: Mapping[str, Intrinsic] | None = None) -> bytes:
    """The bytes of a PNG with labelled pictures in rows and columns.

    rows: {row label: {column label: display codes [C, R, R] in [0, 1]}}; every row has the same columns. C: 1 is grey,
    3 RGB, 4 RGBA, which is drawn on the paper.
    types: {row or column label: type of its pictures of one channel}. Pictures of depth are drawn in colours that span
    the least to the largest value of that type in the sheet; the label has a bar of the colours and the two values.
    """
    coloured = {label: kind for label, kind in (types or {}).items() if is_coloured(kind)}
    spans = _spans(rows, coloured)
    rows = {
        label: {
            name: in_colours(code, spans[coloured[key].name]) if (key := _key(label, name, code, coloured)) else code
            for name, code in row.items()
        }
        for label, row in rows.items()
    }
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    cells = {label: {name: _picture(code) for name, code in row.items()} for label, row in rows.items()}
    columns = next(iter(cells.values()))
    side = next(iter(columns.values())).width
    legends = {label: _legend(kind, spans[kind.name], font) for label, kind in coloured.items() if kind.name in spans}
    wide = {label: max(int(font.getlength(label)), legends[label].width if label in legends else 0) for label in rows}
    margin = _GAP + max(wide.values()) + _GAP
    line = _GAP + 15
    head = line + _GAP + (line if any(name in legends for name in columns) else 0)
    size = (margin + len(columns) * (side + _GAP), head + len(rows) * (side + _GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, name in enumerate(columns):
        draw.text((margin + column * (side + _GAP) + side / 2, line), name, _INK, font, anchor="ms")
        if name in legends:
            sheet.paste(
                legends[name], (margin + column * (side + _GAP) + (side - legends[name].width) // 2, line + _GAP)
            )
    for row, (label, pictures) in enumerate(cells.items()):
        top = head + row * (side + _GAP)
        draw.text((_GAP, top + side / 2), label, _INK, font, anchor="lm")
        if label in legends:
            sheet.paste(legends[label], (_GAP, top + side // 2 + line // 2 + _GAP))
        for column, picture in enumerate(pictures.values()):
            sheet.paste(picture, (margin + column * (side + _GAP), top))
    return encode_png(np.asarray(sheet))


def _key(row: str, column: str, code: np.ndarray, coloured: Mapping[str, Intrinsic]) -> str | None:
    """The label, of the row or else of the column, that names the type of a cell which is drawn in colours."""
    if len(code) != 1:
        return None  # a picture in the row of a type
    return row if row in coloured else column if column in coloured else None


def _spans(rows: Mapping[str, Mapping[str, np.ndarray]], coloured: Mapping[str, Intrinsic]) -> dict[str, Span]:
    """{name of a type: span of its cells}."""
    codes: dict[str, list[np.ndarray]] = {}
    for label, row in rows.items():
        for name, code in row.items():
            if key := _key(label, name, code, coloured):
                codes.setdefault(coloured[key].name, []).append(code)
    return {name: span_of(found) for name, found in codes.items()}


def _legend(kind: Intrinsic, span: Span, font: Any) -> Picture:
    """The least value, a bar of the colours and the largest value; the brightest colour is the least value."""
    from PIL import Image, ImageDraw

    least, largest = (f"{float(intrinsics.decode(kind, np.full((1, 1, 1), code))[0, 0, 0]):.2f}" for code in span[::-1])
    width, height = _BAR
    before = int(font.getlength(least)) + _GAP // 2
    size = (before + width + _GAP // 2 + int(font.getlength(largest)), 15)
    legend = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(legend)
    draw.text((0, 7), least, _INK, font, anchor="lm")
    draw.text((size[0], 7), largest, _INK, font, anchor="rm")
    bar = viridis(np.linspace(1, 0, width)[None, None].repeat(height, 1))
    legend.paste(Image.fromarray(np.moveaxis((bar * 255 + 0.5).astype(np.uint8), 0, -1)), (before, (15 - height) // 2))
    return legend


def _picture(code: np.ndarray) -> Picture:
    from PIL import Image

    picture = Image.fromarray(to_rgb(code))
    if picture.width > _LARGEST:
        return picture.resize((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    scale = max(1, _SMALLEST // picture.width)
    return picture.resize((picture.width * scale,) * 2, Image.Resampling.NEAREST)
