"""The contact sheet: a PNG with one row for each seed and one column for each type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.files import atomic_write
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.cells import Codes, cell_side, colour_bar, draw_cells
from sgi.engine.writers.display import PAPER
from sgi.engine.writers.png import encode_png

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ROWS = 8
_GAP = 8
_BAR = (72, 10)  # width and height of a colour bar
_INK = (60, 60, 60)


def write_sheet(path: Path, rows: Mapping[str, Mapping[str, np.ndarray]], types: Sequence[Intrinsic]) -> None:
    """Write a PNG with maps side by side.

    rows: {row label: {type: values [C, R, R]}}. Values are drawn as display codes: albedo and shading are sRGB-encoded,
    normals are colours, and classes have the colours of their palette. Depth is drawn as `draw_sheet` describes.
    """
    with atomic_write(path) as temporary:
        temporary.write_bytes(draw_sheet(codes_of(rows, types), {t.name: t for t in types}))


def codes_of(rows: Mapping[str, Mapping[str, np.ndarray]], types: Sequence[Intrinsic]) -> Codes:
    """Display codes of {row label: {type: values [C, R, R]}}, with the columns `types` in their order."""
    return {label: {t.name: intrinsics.encode(t, maps[t.name]) for t in types} for label, maps in rows.items()}


def draw_sheet(rows: Codes, types: Mapping[str, Intrinsic] | None = None) -> bytes:
    """The bytes of a PNG with labelled pictures in rows and columns.

    rows: {row label: {column label: display codes [C, R, R] in [0, 1]}}; every row has the same columns. C: 1 is grey,
    3 RGB, 4 RGBA, which is drawn on the paper.
    types: {row or column label: type of its pictures of one channel}. Pictures of depth are drawn in colours that span
    the least to the largest value of that type in the sheet; the label has a bar of the colours and the two values.
    """
    drawn = draw_cells(rows, types or {})
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(15)
    columns = next(iter(drawn.pixels.values()))
    side = cell_side(next(iter(columns.values())).shape[1])
    legends = {label: _legend(limits, font) for label, limits in drawn.limits.items()}
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
    for row, (label, pictures) in enumerate(drawn.pixels.items()):
        top = head + row * (side + _GAP)
        draw.text((_GAP, top + side / 2), label, _INK, font, anchor="lm")
        if label in legends:
            sheet.paste(legends[label], (_GAP, top + side // 2 + line // 2 + _GAP))
        for column, pixels in enumerate(pictures.values()):
            enlarged = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (margin + column * (side + _GAP), top))
    return encode_png(np.asarray(sheet))


def _legend(limits: tuple[float, float], font: Any) -> Picture:
    """The least value, a bar of the colours and the largest value."""
    from PIL import Image, ImageDraw

    least, largest = (f"{value:.2f}" for value in limits)
    width, height = _BAR
    before = int(font.getlength(least)) + _GAP // 2
    size = (before + width + _GAP // 2 + int(font.getlength(largest)), 15)
    legend = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(legend)
    draw.text((0, 7), least, _INK, font, anchor="lm")
    draw.text((size[0], 7), largest, _INK, font, anchor="rm")
    legend.paste(Image.fromarray(colour_bar(width, height)), (before, (15 - height) // 2))
    return legend
