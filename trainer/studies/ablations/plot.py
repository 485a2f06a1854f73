"""The plot of an ablation: a panel for each measure and series, a line for each type, baselines dashed."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sgi.engine.errors import UserError
from sgi.trainer.studies.ablations.cases import BASELINE, BASELINES, NUMERIC, UNORDERED, Case
from sgi.trainer.studies.figures import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BASELINES = {"ridge": "--", "pixel_affine": ":"}
_WIDTH, _HEIGHT = 5.2, 3.6  # inches of a panel
_DPI = 110
_LINEAR = 1.0
"""A panel is linear up to the value of a constant map and logarithmic above it, so that every point is visible."""


def draw_plot(
    cases: Sequence[Case],
    figures: Mapping[str, Figure],
    measures: Sequence[str],
    titles: Mapping[str, str],
) -> bytes:
    """Draw the plot and return the bytes of a PNG.

    figures, titles: as in `FigureSet`, of every case and of BASELINES. measures: names of measures, one panel for each.
    Raises UserError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Drawing
    except ImportError:
        raise UserError('plots need matplotlib: pip install "sgi-engine[train]"') from None
    series = list(dict.fromkeys(case.series for case in cases))
    size = (_WIDTH * len(measures), _HEIGHT * len(series))
    figure = Drawing(figsize=size, dpi=_DPI, layout="constrained")
    panels = figure.subplots(len(series), len(measures), squeeze=False)
    for name, line in zip(series, panels, strict=True):
        chosen = [case for case in cases if case.series == name]
        for measure, axes in zip(measures, line, strict=True):
            _draw_panel(axes, name, chosen, figures, measure)
            axes.set_ylabel(titles[measure])
    panels[0][-1].legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_panel(axes: Axes, name: str, cases: Sequence[Case], figures: Mapping[str, Figure], measure: str) -> None:
    """One series: a line for each type, its baselines, and a line at 1, the FVU of a constant map."""
    for number, kind in enumerate(dict.fromkeys(case.type for case in cases)):
        chosen = [case for case in cases if case.type == kind]
        drawn = [_numbers(figures[f"{case.path}/{measure}"]) for case in chosen]
        places = [float(c.label) for c in chosen] if name in NUMERIC else [float(i) for i in range(len(chosen))]
        values = [t["value"] for t in drawn]
        errors = [[t["value"] - t["low"] for t in drawn], [t["high"] - t["value"] for t in drawn]]
        axes.errorbar(
            places, values, yerr=errors, label=kind, color=f"C{number}", marker="o", ms=4, capsize=2, lw=1.2,
            elinewidth=1.2, ls="" if name in UNORDERED else "-",
        )  # fmt: skip
        for row, style in _BASELINES.items():
            level = _numbers(figures[f"{kind}/{BASELINE}/{row}/{measure}"])["value"]
            axes.axhline(level, color=f"C{number}", ls=style, lw=0.9, label=f"{kind}, {BASELINES[row]}")
    axes.axhline(1, color="0.6", lw=0.8)
    if name in NUMERIC:
        axes.set_xscale(NUMERIC[name])
    else:
        axes.set_xticks(range(len(chosen)), [case.label for case in chosen], rotation=45, fontsize=8)
    top = axes.get_ylim()[1]
    if top > 2 * _LINEAR:
        axes.set_yscale("symlog", linthresh=_LINEAR)
    axes.set_ylim(0, top)
    axes.set_title(name, fontsize=10)
    axes.grid(alpha=0.25)


def _numbers(figure: Figure) -> dict[str, float]:
    return {key: math.nan if value is None else value for key, value in figure.items()}
