"""A chart of figures with their intervals, as SVG in the text of the report."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from sgi.trainer.measures.bootstrap import Estimate

_LINE, _LABEL, _PLOT = 22, 190, 520
_TOP, _AXIS = 8, 28


class Mark(NamedTuple):
    """One line of a chart: its label, what to plot, and a class of the style sheet that says its role."""

    label: str
    estimate: Estimate
    role: str


def strip_chart(marks: Sequence[Mark], line: float | None, highest: float = 1.2) -> str:
    """An SVG element: a dot and an interval for each mark on an axis from 0 to `highest`, and a dashed vertical line.

    What lies beyond the axis is drawn at its end, with its value beside it.
    """
    height = _TOP + len(marks) * _LINE + _AXIS
    bottom = height - _AXIS

    def x(value: float) -> str:
        return f"{_LABEL + _PLOT * min(max(value, 0.0), highest) / highest:.1f}"

    parts = [f'<svg viewBox="0 0 {_LABEL + _PLOT + 60} {height}" role="img">']
    for tick in range(round(highest / 0.2) + 1):
        at, value = x(tick * 0.2), tick * 0.2
        parts.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at}" y="{bottom + 16}">{value:.1f}</text>')
    if line is not None:
        parts.append(f'<line class="border" x1="{x(line)}" x2="{x(line)}" y1="{_TOP}" y2="{bottom}"/>')
    for index, mark in enumerate(marks):
        y = _TOP + index * _LINE + _LINE / 2
        told = mark.estimate
        parts.append(f'<text class="label" x="{_LABEL - 10}" y="{y + 4}">{escape(mark.label)}</text>')
        parts.append(f'<g class="{mark.role}"><line x1="{x(told.low)}" x2="{x(told.high)}" y1="{y}" y2="{y}"/>')
        parts.append(f'<circle cx="{x(told.value)}" cy="{y}" r="4"/></g>')
        if told.value > highest:
            parts.append(f'<text class="beyond" x="{_LABEL + _PLOT + 8}" y="{y + 4}">{told.value:.1f}</text>')
    return "".join([*parts, "</svg>"])
