"""Sets of figures: intervals, undefined figures, and the table."""

from __future__ import annotations

import io
import json

import numpy as np
from figure_values import interval
from rich.console import Console

from sgi.trainer.measures.by_type import Measure
from sgi.trainer.studies.figures import FigureSet

MEAN = Measure("mean", lambda prediction, target: prediction, lambda mean: mean[..., 0])
NOTHING = Measure("nothing", lambda prediction, target: prediction, lambda mean: mean[..., 0] * np.nan)


def test_figures_have_intervals_and_undefined_ones_are_none():
    found = FigureSet()
    kept = {"m": np.array([[1.0], [2.0], [3.0]]), "n": np.ones((3, 1))}
    found.add("depth/offset", {"m": MEAN, "n": NOTHING}, kept)
    figure = found.figures["depth/offset/m"]
    low, value, high = interval(figure)
    assert value == 2
    assert 1 <= low < 2 < high <= 3
    assert found.figures["depth/offset/n"] == {"value": None, "low": None, "high": None}
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["titles"] == {"m": "mean", "n": "nothing"}


def test_table_shows_row_titles():
    found = FigureSet({"offset": "G(w + d)"})
    for row in ("depth/offset", "depth/strange", "albedo/offset"):
        found.add(row, {"m": MEAN}, {"m": np.full((3, 1), 0.25)})
    found.add("depth/offset", {"n": NOTHING}, {"n": np.ones((3, 1))})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(found.table(("m", "n"), "title"))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    rows = [line for line in lines if line]
    assert rows == [
        ["depth", "G(w + d)", "0.25 (0.25 to 0.25)", "-"],
        ["depth", "strange", "0.25 (0.25 to 0.25)", ""],
        ["albedo", "G(w + d)", "0.25 (0.25 to 0.25)", ""],
    ]
