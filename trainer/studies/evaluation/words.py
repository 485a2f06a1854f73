"""How the report says a figure, in markdown and in HTML alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU, type_measures
from sgi.trainer.studies.evaluation.summary import BEYOND_RIDGE, PREDICTORS, Entry
from sgi.trainer.studies.evaluation.tasks import PREFIX_SIDE
from sgi.trainer.studies.evaluation.verdict import PREFIX_FVU, separating_figures

MISSING = "-"
# Beyond this an FVU is bad, and how bad does not matter to three digits.
_PLAIN = 10.0


def figure(told: Mapping[str, Any] | None, spread: bool = True) -> str:
    """`0.371 (0.355-0.388)`: a figure with its interval."""
    if told is None or told["value"] is None:
        return MISSING
    digits = ".3f" if abs(told["value"]) < _PLAIN else ".1f"
    value = format(told["value"], digits)
    if not spread or told["low"] is None or told["high"] is None:
        return value
    low, high = format(told["low"], digits), format(told["high"], digits)
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
    """FVU, high-pass FVU, FVU of the prefix's row, share beyond ridge."""
    told = separating_figures(row, rows)
    as_dict = {key: {"value": e.value, "low": e.low, "high": e.high} for key, e in told.items()}
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
    """One sentence on how the figures came about."""
    s = report["settings"]
    return (
        f"{s['steps']} steps of {s['batch']}, on {s['images']} pictures; {fits(s['fits'])} of each map, on other "
        f"pictures each, and {fits(s['control_fits'])} of each other row; scored on seeds {report['held_out']} against "
        f"teacher {report['teacher']['name']}. In brackets: 95 % bootstrap interval over the held-out pictures."
    )
