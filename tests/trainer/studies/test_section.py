"""Sections of the report: figures with intervals, what is no number, and the table."""

from __future__ import annotations

import io
import json

import numpy as np
from rich.console import Console

from sgi.trainer.measures.by_type import Measure
from sgi.trainer.studies.section import Section, section_table

MEAN = Measure("mean", lambda shown, told: shown, lambda mean: mean[..., 0])
NOTHING = Measure("nothing", lambda shown, told: shown, lambda mean: mean[..., 0] * np.nan)


def test_figures_with_intervals_and_none_for_what_is_no_number():
    section = Section()
    kept = {"m": np.array([[1.0], [2.0], [3.0]]), "n": np.ones((3, 1))}
    section.add("depth/offset", {"m": MEAN, "n": NOTHING}, kept)
    figure = section.figures["depth/offset/m"]
    assert figure["value"] == 2
    assert 1 <= figure["low"] < 2 < figure["high"] <= 3
    assert section.figures["depth/offset/n"] == {"value": None, "low": None, "high": None}
    assert json.loads(json.dumps(section.to_dict(), allow_nan=False))["titles"] == {"m": "mean", "n": "nothing"}


def test_the_table_has_rows_in_words():
    section = Section()
    for row in ("depth/offset", "depth/strange", "albedo/offset"):
        section.add(row, {"m": MEAN}, {"m": np.full((3, 1), 0.25)})
    section.add("depth/offset", {"n": NOTHING}, {"n": np.ones((3, 1))})
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(section_table(section.to_dict() | {"rows": {"offset": "G(w + d)"}}, ("m", "n"), "title"))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    rows = [line for line in lines if line]
    assert rows == [
        ["depth", "G(w + d)", "0.25 (0.25 to 0.25)", "-"],
        ["depth", "strange", "0.25 (0.25 to 0.25)", ""],
        ["albedo", "G(w + d)", "0.25 (0.25 to 0.25)", ""],
    ]
