"""The pictures of the report: targets and predictions of the first held-out seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.offsets.held_out_score import predict
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.controls import controlled
from sgi.trainer.studies.evaluation.run_task import random_weights
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Task
from sgi.trainer.studies.study_inputs import first_pictures

SEEDS = 6
PICTURES = "G(w)"
"""Label of the row of generated pictures; all other rows of a sheet are maps of one type."""

Rows = dict[str, Tensor]


def map_sheets(context: StudyContext, results: Mapping[Task, TaskResult]) -> dict[str, bytes]:
    """PNGs by title: one for each map with all its rows, and one for the controls of each type.

    Columns are held-out seeds. Offsets are those of the first fit.
    """
    pool = first_pictures(context.held(), SEEDS)
    first_fits = {task.row: result for task, result in results.items() if task.stream == 0}
    drawn: dict[str, Rows] = {}
    kinds: dict[str, Intrinsic] = {}
    for row, result in first_fits.items():
        # Computed on all held-out pictures, because the control `other-seed` permutes them.
        target = controlled(context.held(), row.type, row.control).codes[row.type][: len(pool)].float()
        generator = random_weights(context.generator) if row.random_weights else context.generator
        prediction = predict(generator, pool, context.kinds[row.type], row.space, result.tensors)
        title = f"Controls: {row.type}" if row.control else row.type
        kinds[title] = context.kinds[row.type]
        rows = drawn.setdefault(title, {PICTURES: pool.images.float()})
        rows.setdefault(f"{row.control}, target" if row.control else "teacher", target)
        rows[row.label.removeprefix(row.type).strip() or "offset"] = prediction
    titles = sorted(drawn, key=lambda title: title.startswith("Controls"))
    return {title: _sheet(pool, drawn[title], kinds[title]) for title in titles}


def _sheet(pool: Pool, rows: Rows, kind: Intrinsic) -> bytes:
    def cells(maps: Tensor) -> dict[str, np.ndarray]:
        return {f"seed {seed}": maps[index].numpy() for index, seed in enumerate(pool.seeds)}

    types = {label: kind for label in rows if label != PICTURES}
    return draw_sheet({label: cells(maps) for label, maps in rows.items()}, types)
