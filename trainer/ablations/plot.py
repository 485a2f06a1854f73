"""The plot of an ablation: a panel for each measure and series, a line for each type, baselines dashed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from sgi.engine.errors import UserError
from sgi.trainer.ablations.cases import NUMERIC, Case

_WIDTH, _HEIGHT = 5.2, 3.6  # inches of a panel
_DPI = 110
_CEILING = 2.0
"""Panels end here: beyond 1 an offset is worse than a constant map, and how much worse hides the rest."""


def draw_plot(
    cases: Sequence[Case],
    figures: Mapping[str, Mapping[str, float]],
    measures: Sequence[str],
    titles: Mapping[str, str],
) -> bytes:
    """The bytes of a PNG; figures as in sgi.trainer.section. Raises UserError when matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError('plots need matplotlib: pip install "sgi-engine[train]"') from None
    series = list(dict.fromkeys(case.series for case in cases))
    types = list(dict.fromkeys(case.type for case in cases))
    figure = Figure(figsize=(_WIDTH * len(series), _HEIGHT * len(measures)), dpi=_DPI, layout="constrained")
    panels = figure.subplots(len(measures), len(series), squeeze=False)
    for line, measure in enumerate(measures):
        for column, name in enumerate(series):
            axes = panels[line][column]
            for number, kind in enumerate(types):
                chosen = [case for case in cases if case.series == name and case.type == kind]
                told = [figures[f"{case.path}/{measure}"] for case in chosen]
                places = [float(c.label) for c in chosen] if name in NUMERIC else list(range(len(chosen)))
                values = [t["value"] for t in told]
                errors = [[t["value"] - t["low"] for t in told], [t["high"] - t["value"] for t in told]]
                colour = f"C{number}"
                axes.errorbar(
                    places, values, yerr=errors, marker="o", ms=4, lw=1.2, capsize=2, color=colour, label=kind
                )
                ridge = figures.get(f"{kind}/baseline/ridge/{measure}")
                if ridge:
                    axes.axhline(ridge["value"], color=colour, ls="--", lw=0.9, label=f"{kind}, ridge on w")
            axes.axhline(1, color="0.6", lw=0.8)
            if name in NUMERIC:
                axes.set_xscale(NUMERIC[name])
            else:
                axes.set_xticks(range(len(chosen)), [case.label for case in chosen], rotation=45, fontsize=8)
            axes.set_ylim(0, min(axes.get_ylim()[1], _CEILING))
            axes.set_title(name, fontsize=10)
            axes.set_ylabel(titles[measure])
            axes.grid(alpha=0.25)
    panels[0][-1].legend(fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
