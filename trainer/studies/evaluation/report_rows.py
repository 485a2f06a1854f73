"""The rows of the report: figures of fits and baselines, with intervals, from the results of tasks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.measures.bootstrap import Drawn, Estimate, combine, draw
from sgi.trainer.measures.by_type import FVU, measures_of
from sgi.trainer.offsets.held_out_score import BASELINES, OFFSET
from sgi.trainer.studies.evaluation.controls import CONTROLS
from sgi.trainer.studies.evaluation.run_task import PERMUTED
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task

RIDGE = "ridge"
BEYOND_RIDGE = "beyond_ridge"
PREDICTORS = {**BASELINES, PERMUTED: "d, rows permuted"}
_DIGITS = 5

Entry = dict[str, Any]
"""A row of the report, JSON-ready."""


def report_rows(results: Mapping[Task, TaskResult], kinds: Mapping[str, Intrinsic]) -> list[Entry]:
    """The rows of the report, in the order of the tasks.

    Each has label, role, type, control (with `expected`), space, from_layer, fits (their number), seconds (per fit),
    parameters (count of numbers in the offset), and figures {measure: estimate}. beyond_ridge = 1 - FVU / FVU of ridge
    regression on w, if a row has the baselines of the same target. Maps and controls also have
    baselines {predictor: {measure: estimate}} and best_baseline, the one with the lowest FVU. An estimate is
    {value, low, high, fits}.
    """
    rows: dict[Row, list[TaskResult]] = {}
    for task, result in results.items():
        rows.setdefault(task.row, []).append(result)
    ridges = {
        row.target: figures_of(fits, RIDGE, kinds[row.type])[FVU] for row, fits in rows.items() if RIDGE in fits[0].kept
    }
    return [_entry(row, fits, kinds[row.type], ridges) for row, fits in rows.items()]


def figures_of(fits: Sequence[TaskResult], predictor: str, kind: Intrinsic) -> dict[str, Drawn]:
    """Every measure of one predictor over the fits of a row."""
    measures = measures_of(kind)
    return {name: draw(measure, [fit.kept[predictor][name] for fit in fits]) for name, measure in measures.items()}


def rounded(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON-ready values with five significant digits."""
    values: dict[str, Any] = {name: _short(getattr(estimate, name)) for name in ("value", "low", "high")}
    return values | ({"fits": [_short(value) for value in estimate.fits]} if len(estimate.fits) > 1 else {})


def estimate_of(values: Mapping[str, Any]) -> Estimate:
    """The inverse of `rounded`."""
    return Estimate(values["value"], values["low"], values["high"], tuple(values.get("fits", ())))


def _entry(row: Row, fits: Sequence[TaskResult], kind: Intrinsic, ridges: Mapping[str, Drawn]) -> Entry:
    drawn = figures_of(fits, OFFSET, kind)
    entry: Entry = {
        "label": row.label,
        "role": row.role,
        "type": row.type,
        "control": row.control,
        "space": row.space,
        "from_layer": row.from_layer,
        "fits": len(fits),
        "seconds": round(float(np.mean([fit.seconds for fit in fits])), 1),
        "parameters": int(sum(tensor.count_nonzero() for tensor in fits[0].tensors.values())),
        "figures": {name: rounded(figure.estimate()) for name, figure in drawn.items()},
    }
    if row.control:
        entry["expected"] = CONTROLS[row.control].expected
    if row.target in ridges:
        beyond = combine(lambda offset, ridge: 1 - offset / ridge, drawn[FVU], ridges[row.target])
        entry[BEYOND_RIDGE] = rounded(beyond.estimate())
    named = [predictor for predictor in PREDICTORS if predictor in fits[0].kept]
    if named:
        entry |= _baselines({predictor: figures_of(fits, predictor, kind) for predictor in named})
    return entry


def _baselines(drawn_of: Mapping[str, Mapping[str, Drawn]]) -> Entry:
    estimates = {
        predictor: {name: figure.estimate() for name, figure in drawn.items()} for predictor, drawn in drawn_of.items()
    }
    return {
        "baselines": {
            predictor: {name: rounded(estimate) for name, estimate in by_measure.items()}
            for predictor, by_measure in estimates.items()
        },
        "best_baseline": min(estimates, key=lambda predictor: estimates[predictor][FVU].value),
    }


def _short(value: float) -> float | None:
    # JSON has no nan, the figure of a measure that is undefined for the pictures.
    return None if math.isnan(value) else float(f"{value:.{_DIGITS}g}")
