"""The layout of a chart of figures with their intervals; a template draws it as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sgi.trainer.measures.bootstrap import Estimate

LINE, LABEL, PLOT, MARGIN = 22, 190, 520, 60
TOP, AXIS = 8, 28


class Mark(NamedTuple):
    """One line of a chart: its label, its estimate, and a class of the style sheet for its role."""

    label: str
    estimate: Estimate
    role: str


class PlacedMark(NamedTuple):
    """A mark with its coordinates; beyond: the text of its value if this is above the end of the axis, else ""."""

    label: str
    role: str
    y: float
    low: str
    value: str
    high: str
    beyond: str


@dataclass(frozen=True)
class StripChart:
    """A dot and an interval for each mark on a horizontal axis from 0, and a dashed vertical line; units of the SVG.

    ticks: (x, label). border: x of the dashed line, None for none.
    """

    width: int
    height: int
    bottom: int
    ticks: list[tuple[str, str]]
    border: str | None
    marks: list[PlacedMark]
    label_x: int = LABEL - 10
    beyond_x: int = LABEL + PLOT + 8
    top: int = TOP


def strip_chart(marks: Sequence[Mark], line: float | None, highest: float = 1.2) -> StripChart:
    """Place marks on an axis from 0 to `highest`; larger values are at its end, with the number as text."""
    height = TOP + len(marks) * LINE + AXIS

    def x(value: float) -> str:
        return f"{LABEL + PLOT * min(max(value, 0.0), highest) / highest:.1f}"

    placed = []
    for index, mark in enumerate(marks):
        estimate = mark.estimate
        beyond = f"{estimate.value:.1f}" if estimate.value > highest else ""
        y = TOP + index * LINE + LINE / 2
        placed.append(
            PlacedMark(mark.label, mark.role, y, x(estimate.low), x(estimate.value), x(estimate.high), beyond)
        )
    return StripChart(
        width=LABEL + PLOT + MARGIN,
        height=height,
        bottom=height - AXIS,
        ticks=[(x(tick * 0.2), f"{tick * 0.2:.1f}") for tick in range(round(highest / 0.2) + 1)],
        border=None if line is None else x(line),
        marks=placed,
    )
