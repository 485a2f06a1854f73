"""The pictures of the report: what was asked for, and what the offsets show, for the first held-out seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.offsets.score import predict
from sgi.trainer.studies.evaluation.controls import controlled
from sgi.trainer.studies.evaluation.tasks import Task
from sgi.trainer.studies.evaluation.work import Result, World, random_weights

SEEDS = 6

Rows = dict[str, Tensor]


def sheets(world: World, results: Mapping[Task, Result]) -> dict[str, bytes]:
    """PNGs by title: one for each map with every way it was fitted, and one for the controls of each type.

    Columns are held-out seeds. Offsets are those of the first fit.
    """
    pool = first(world.held(), SEEDS)
    first_fits = {task.row: result for task, result in results.items() if task.stream == 0}
    drawn: dict[str, Rows] = {}
    for row, result in first_fits.items():
        # Of all held-out pictures: one control tells a picture the map of another.
        target = controlled(world.held(), row.type, row.control).codes[row.type][: len(pool)].float()
        generator = random_weights(world.generator) if row.random_weights else world.generator
        prediction = predict(generator, pool, world.kinds[row.type], row.space, result.tensors)
        title = f"Controls: {row.type}" if row.control else row.type
        rows = drawn.setdefault(title, {"G(w)": pool.images.float()})
        rows.setdefault(f"{row.control}, asked for" if row.control else "teacher", target)
        rows[row.label.removeprefix(row.type).strip() or "offset"] = prediction
    titles = sorted(drawn, key=lambda title: title.startswith("Controls"))
    return {title: _sheet(pool, drawn[title]) for title in titles}


def first(pool: Pool, count: int) -> Pool:
    """The first pictures of a pool."""
    codes = {name: maps[:count] for name, maps in pool.codes.items()}
    return replace(pool, seeds=pool.seeds[:count], ws=pool.ws[:count], images=pool.images[:count], codes=codes)


def _sheet(pool: Pool, rows: Rows) -> bytes:
    def cells(maps: Tensor) -> dict[str, np.ndarray]:
        return {f"seed {seed}": maps[index].numpy() for index, seed in enumerate(pool.seeds)}

    return draw_sheet({label: cells(maps) for label, maps in rows.items()})
