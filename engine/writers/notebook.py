"""Maps in a notebook: a table with one row for each image and one column for each type, in HTML and as a PNG."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.arguments import check_path
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, check_writable
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.cells import cell_side, colour_bar, draw_cells
from sgi.engine.writers.png import encode_png
from sgi.engine.writers.preview import codes_of, draw_sheet

MOST_ROWS = 64
"""Images of one table; a notebook stores each of their maps."""
_CLASSES = 12
"""Names of classes above a segmentation; those of the most pixels."""
_BAR = (72, 10)  # width and height of a colour bar
# All styles are inline and name no colour of text or paper: notebooks drop style sheets, and are light or dark.
_CELL = "padding:2px 4px;text-align:center;vertical-align:middle;border:0;background:none"
_PAGE = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="color-scheme" content="light dark">\n'
    '<title>{title}</title>\n<body style="font-family:system-ui,sans-serif">\n{table}\n</body>\n</html>\n'
)


@dataclass(frozen=True, eq=False)
class ShownMaps:
    """Maps that a notebook displays as a table; `save` writes it as a file.

    maps: {type: [N, C, R, R] float32}. types: their descriptions, in the order of the columns. labels: of the N rows.
    Depth is drawn in colours that span its least to its largest value in the table. Pixels of small maps are enlarged
    as squares, and maps of more than 256 pixels are reduced.
    """

    maps: Mapping[str, NDArray[np.float32]]
    types: Sequence[Intrinsic]
    labels: Sequence[str]

    def __repr__(self) -> str:
        side = self.maps[self.types[0].name].shape[-1]
        names = ", ".join(kind.name for kind in self.types)
        images = f"{len(self.labels)} image{'s' if len(self.labels) > 1 else ''}"
        return f"<{names} of {images}, {side} x {side} pixels: {', '.join(self.labels)}>"

    def _repr_html_(self) -> str:
        """The table as HTML, all pictures inside it."""
        return self._html

    def _repr_png_(self) -> bytes:
        """The table as the bytes of a PNG file, a contact sheet, for programs that show no HTML."""
        return draw_sheet(self._codes, self._by_name)

    def save(self, path: str | Path) -> None:
        """Write the table as a picture, .png, or as a page that needs no other file, .html.

        Raises UserError for another suffix, and where the file cannot be written.
        """
        target = check_path(path, "path")
        if target.suffix.lower() == ".png":
            data = self._repr_png_()
        elif target.suffix.lower() in (".html", ".htm"):
            data = _PAGE.format(title=escape(", ".join(self.labels)), table=self._html).encode()
        else:
            raise UserError(f"`path={target}`: choose a name with .png or .html")
        check_writable(target, "path")
        with atomic_write(target) as temporary:
            temporary.write_bytes(data)

    @property
    def _by_name(self) -> dict[str, Intrinsic]:
        return {kind.name: kind for kind in self.types}

    @cached_property
    def _codes(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        rows = {label: {name: stack[i] for name, stack in self.maps.items()} for i, label in enumerate(self.labels)}
        return codes_of(rows, self.types)

    @cached_property
    def _html(self) -> str:
        drawn = draw_cells(self._codes, self._by_name)
        heads = "".join(self._head(kind, drawn.limits.get(kind.name)) for kind in self.types)
        rows = "".join(
            f'<tr style="background:none"><th scope="row" style="{_CELL}">{escape(label)}</th>'
            + "".join(
                f'<td style="{_CELL}">{_picture(pixels, f"{name} of {label}")}</td>' for name, pixels in row.items()
            )
            + "</tr>"
            for label, row in drawn.pixels.items()
        )
        return (
            '<div style="overflow-x:auto"><table style="border:0;border-collapse:collapse;width:auto;margin:0">'
            f'<thead><tr style="background:none"><td style="{_CELL}"></td>{heads}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _head(self, kind: Intrinsic, limits: tuple[float, float] | None) -> str:
        """The cell above a column: the name of the type, and what its colours mean."""
        legend = ""
        if limits:
            least, largest = (f"{value:.2f}" for value in limits)
            width, height = _BAR
            bar = _image(colour_bar(width, 1), f"from {least} to {largest}", width, height)
            legend = f"{least} {bar} {largest}"
        elif kind.classes:
            legend = _class_legend(kind, self.maps[kind.name])
        below = f'<div style="font-weight:normal">{legend}</div>' if legend else ""
        style = f"{_CELL};vertical-align:bottom"
        return f'<th scope="col" style="{style}" title="{escape(kind.meaning)}">{escape(kind.name)}{below}</th>'


def row_labels(given: Mapping[str, Any], class_index: Any = None) -> list[str]:
    """The labels of the rows of a table: `seed 7`; `seed 7, class 2` where each image has its class; `z 0`.

    given: seeds, a sequence of them, z, w or ws; what is None is left out. class_index: as for a call of an engine.
    Raises UserError for more than MOST_ROWS images, before they are computed.
    """
    labels: list[str] = []
    for name, value in given.items():
        if value is None:
            continue
        count = len(value) if name == "seeds" else _images_of(value)
        if count > MOST_ROWS:
            raise UserError(f"`{name}`: {count} images are too many to show; choose at most {MOST_ROWS}")
        labels += [f"seed {seed}" for seed in value] if name == "seeds" else [f"{name} {i}" for i in range(count)]
    if not isinstance(class_index, Mapping) and np.ndim(class_index) == 1 and len(class_index) == len(labels):
        labels = [f"{label}, class {number}" for label, number in zip(labels, class_index, strict=True)]
    return [label if labels.index(label) == i else f"{label} ({i})" for i, label in enumerate(labels)]


def _images_of(latents: Any) -> int:
    """The number of rows of latents; 1 for other arrays, which the call of the engine refuses with their shape."""
    try:
        shape = np.shape(latents)
    except ValueError:  # rows of different lengths
        return 1
    return shape[0] if len(shape) > 1 else 1


def _class_legend(kind: Intrinsic, values: NDArray[np.float32]) -> str:
    """The names of the classes that occur, each beside its colour."""
    found, pixels = np.unique(np.rint(values).clip(kind.low, kind.high).astype(int), return_counts=True)
    shown = np.sort(found[np.argsort(-pixels, kind="stable")[:_CLASSES]])
    colours = (intrinsics.colours(kind) * 255 + 0.5).astype(int)
    names = [
        f'<span style="white-space:nowrap"><span style="display:inline-block;width:10px;height:10px;'
        f'background:rgb({",".join(map(str, colours[number]))})"></span> {escape(kind.classes[number])}</span>'
        for number in shown
    ]
    rest = len(found) - len(shown)
    return " ".join([*names, f"and {rest} more"] if rest else names)


def _picture(pixels: NDArray[np.uint8], text: str) -> str:
    side = cell_side(pixels.shape[1])
    return _image(pixels, text, side, side)


def _image(pixels: NDArray[np.uint8], text: str, width: int, height: int) -> str:
    data = base64.b64encode(encode_png(pixels)).decode()
    size = f"width:{width}px;height:{height}px;max-width:none;margin:0;vertical-align:middle"
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(text)}" title="{escape(text)}" '
        f'style="display:inline-block;image-rendering:pixelated;{size}">'
    )
