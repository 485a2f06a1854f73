"""The text of figures in the markdown and HTML reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU, type_measures
from sgi.trainer.studies.evaluation.report_rows import BEYOND_RIDGE, PREDICTORS, Entry
from sgi.trainer.studies.evaluation.tasks import PREFIX_SIDE
from sgi.trainer.studies.evaluation.verdict import PREFIX_FVU, separating_figures

MISSING = "-"
# Figures of at least this size are shown with one decimal instead of three.
_PLAIN = 10.0


def figure(estimate: Mapping[str, Any] | None, spread: bool = True) -> str:
    """`0.371 (0.355-0.388)`: an estimate with its interval, or without it if not `spread`."""
    if estimate is None or estimate["value"] is None:
        return MISSING
    digits = ".3f" if abs(estimate["value"]) < _PLAIN else ".1f"
    value = format(estimate["value"], digits)
    if not spread or estimate["low"] is None or estimate["high"] is None:
        return value
    low, high = format(estimate["low"], digits), format(estimate["high"], digits)
    joint = " to " if low.startswith("-") or high.startswith("-") else "-"
    return f"{value} ({low}{joint}{high})"


def describe(report: Mapping[str, Any], name: str) -> Intrinsic:
    """The description of a type in a report."""
    return Intrinsic.from_dict(report["types"][name]) if name in report["types"] else intrinsics.get(name)


def own_figures(report: Mapping[str, Any], row: Entry, spread: bool = True) -> list[tuple[str, str]]:
    """(title, figure) of the measures that only the row's type has."""
    measures = type_measures(describe(report, row["type"]))
    return [(m.title, figure(row["figures"][key], spread)) for key, m in measures.items() if key in row["figures"]]


def separating_cells(row: Entry, rows: Sequence[Entry]) -> list[str]:
    """The cells under SEPARATING_HEAD."""
    figures = separating_figures(row, rows)
    as_dict = {key: {"value": e.value, "low": e.low, "high": e.high} for key, e in figures.items()}
    return [figure(as_dict.get(key)) for key in (FVU, HIGH_PASS_FVU, PREFIX_FVU, BEYOND_RIDGE)]


SEPARATING_HEAD = ["FVU", "high-pass FVU", f"FVU from {PREFIX_SIDE} px on", "explained beyond ridge on w"]


def best_baseline(row: Entry) -> str:
    """The best baseline's name and FVU."""
    if "best_baseline" not in row:
        return MISSING
    best = row["best_baseline"]
    return f"{PREDICTORS[best]}: {figure(row['baselines'][best][FVU])}"


def fits(count: int) -> str:
    """`3 fits`."""
    return f"{count} fit" + ("s" if count != 1 else "")


def settings(report: Mapping[str, Any]) -> str:
    """A sentence on how the figures were measured."""
    s = report["settings"]
    return (
        f"{s['steps']} steps of {s['batch']}, on {s['images']} pictures; {fits(s['fits'])} of each map, each on "
        f"other pictures, and {fits(s['control_fits'])} of each other row; scored on seeds {report['held_out']} "
        f"against teacher {report['teacher']['name']}. In brackets: 95 % bootstrap interval over the held-out pictures."
    )
