"""Figures with intervals over pictures, the results of the relighting, truth and ablation studies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sgi.trainer.measures.bootstrap import draw, interval
from sgi.trainer.measures.by_type import Measure, Statistics

if TYPE_CHECKING:
    from rich.table import Table

Figure = dict[str, float | None]
"""value, low and high."""


@dataclass
class FigureSet:
    """The figures of one measurement.

    rows: {row: its title in tables}. figures: {"depth/offset/fvu": {"value", "low", "high"} ...}; a key joins type,
    row and name of the measure. low and high are the 95 % bootstrap interval over pictures. None stands for a figure
    that is undefined, such as the overlap of a class that no picture contains. titles: {name of a measure: its title
    in tables}. pictures: {title: bytes of a PNG}.
    """

    rows: dict[str, str] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)

    def add(self, row: str, measures: Mapping[str, Measure], kept: Statistics) -> None:
        """Add the figures of a row.

        row: type and row, such as "depth/offset". kept: by measure, the statistics [N, K] of N pictures.
        """
        for name, measure in measures.items():
            drawn = draw(measure, [kept[name]])
            figure: Figure = {"value": None, "low": None, "high": None}
            if math.isfinite(drawn.value):
                low, high = interval(drawn.draws)
                figure = {"value": drawn.value, "low": low, "high": high}
            self.figures[f"{row}/{name}"] = figure
            self.titles[name] = measure.title

    def to_dict(self) -> dict[str, Any]:
        """`figures` and `titles`, JSON-ready."""
        return {"figures": self.figures, "titles": self.titles}

    def table(self, measures: Sequence[str], title: str) -> Table:
        """A table of type, row, value and interval: every row that has a figure of one of `measures`."""
        from rich.table import Table

        table = Table("", "", *(self.titles[name] for name in measures), title=title, title_justify="left")
        for row in dict.fromkeys(key.rsplit("/", 1)[0] for key in self.figures):
            cells = [self.figures.get(f"{row}/{name}") for name in measures]
            if any(cells):
                kind, _, label = row.partition("/")
                table.add_row(kind, self.rows.get(label, label), *(_cell(cell) for cell in cells))
        return table


def _cell(figure: Figure | None) -> str:
    if not figure or figure["value"] is None:
        return "" if not figure else "-"
    return f"{figure['value']:.4g} ({figure['low']:.3g} to {figure['high']:.3g})"
