"""A part of the report: figures with intervals over pictures, what they are called, and pictures to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from sgi.trainer.measures.bootstrap import draw, interval
from sgi.trainer.measures.by_type import Measure, Statistics

Figure = dict[str, float | None]
"""value, low and high."""


@dataclass
class Section:
    """What a measurement found.

    figures: {"depth/offset/fvu": {"value", "low", "high"} ...}, a row's path and a measure's name; low and high are
    the 95 % bootstrap interval over pictures; None stands for what is no number, such as the overlap of a class that
    no picture shows. titles: {measure's name: what a table calls it}. pictures: {title: bytes
    of a PNG}.
    """

    figures: dict[str, Figure] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def add(self, row: str, measures: Mapping[str, Measure], kept: Statistics) -> None:
        """Add a row's figures, from the numbers its measures kept of each picture."""
        for name, measure in measures.items():
            drawn = draw(measure, [kept[name]])
            figure: Figure = {"value": None, "low": None, "high": None}
            if math.isfinite(drawn.value):
                low, high = interval(drawn.draws)
                figure = {"value": drawn.value, "low": low, "high": high}
            self.figures[f"{row}/{name}"] = figure
            self.titles[name] = measure.title

    def to_dict(self) -> dict[str, Any]:
        """The section as the report takes it, JSON-ready but for the bytes of its pictures."""
        return {"figures": self.figures, "titles": self.titles, "pictures": self.pictures}


def section_table(found: Mapping[str, Any], measures: Sequence[str], title: str) -> Table:
    """The rows of a measurement's result that have any of `measures`: type, row, value and interval of each.

    found: a section's `to_dict` with `rows`, {row: what it is}.
    """
    figures = found["figures"]
    table = Table("", "", *(found["titles"][name] for name in measures), title=title, title_justify="left")
    for row in dict.fromkeys(key.rsplit("/", 1)[0] for key in figures):
        cells = [figures.get(f"{row}/{name}") for name in measures]
        if any(cells):
            kind, _, label = row.partition("/")
            table.add_row(kind, found["rows"].get(label, label), *(_cell(cell) for cell in cells))
    return table


def _cell(figure: Figure | None) -> str:
    if not figure or figure["value"] is None:
        return "" if not figure else "-"
    return f"{figure['value']:.4g} ({figure['low']:.3g} to {figure['high']:.3g})"
