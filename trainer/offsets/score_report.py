"""Reports of an offset: the table of held-out figures and the preview picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.measures.by_type import measures_of
from sgi.trainer.offsets.held_out_score import BASELINES, OFFSET, predict
from sgi.trainer.offsets.pool import Pool

PREVIEW_PICTURES = 8
_MIN_FVU = 1e-6  # a ratio to a smaller FVU has no meaning


def score_table(offset: Offset, score: dict[str, Any]) -> Table:
    """Return the rows of a score (see `score_offset`) as a table, the offset first and the best baseline in bold."""
    rows = score["rows"]
    titles = {key: measure.title for key, measure in measures_of(offset.intrinsic, torch.empty(0)).items()}
    figures = [key for key in titles if key in rows[OFFSET]]
    title = f"{offset.type}, {offset.label} offset, {score['split']} seeds {score['seeds']} against {_teacher(score)}"
    table = Table("", title=title, title_justify="left")
    for key in figures:
        table.add_column(titles[key], justify="right")
    for row, values in rows.items():
        style = {OFFSET: "bold green", score["best_baseline"]: "bold"}.get(row)
        label = f"{offset.label} offset" if row == OFFSET else BASELINES[row]
        table.add_row(label, *(f"{values[key]:.3f}" for key in figures), style=style)
    return table


def compare_to_baseline(score: dict[str, Any]) -> str:
    """Return a comparison of the FVU of the offset with that of the best baseline, and what to do if it is worse."""
    rows, best = score["rows"], score["best_baseline"]
    offset, baseline = rows[OFFSET]["fvu"], rows[best]["fvu"]
    name = f"the best baseline's {baseline:.3f} ({BASELINES[best]})"
    if offset >= baseline:
        return (
            f"FVU {offset:.3f}, not better than {name}: do not use this offset. If the targets look wrong, choose "
            "another teacher; if they look right, more steps or another space."
        )
    ratio = f"{offset / baseline:.2f} of" if baseline > _MIN_FVU else "against"
    return f"FVU {offset:.3f}, {ratio} {name}."


def write_preview(path: str | Path, generator: Generator, offset: Offset, pool: Pool) -> None:
    """Write a PNG of the first 8 pictures of a pool in three labelled rows: G(w), targets, predictions."""
    tensors = {key: torch.from_numpy(array) for key, array in offset.tensors.items()}
    count = min(PREVIEW_PICTURES, len(pool))
    first = Pool(pool.seeds[:count], pool.sampling, pool.ws[:count], pool.images[:count], {})
    prediction = predict(generator, first, offset.intrinsic, offset.space, tensors)
    rows = {"G(w)": first.images.float(), "target": pool.codes[offset.type][:count].float(), "prediction": prediction}
    cells = {
        label: {f"seed {seed}": maps[index].numpy() for index, seed in enumerate(first.seeds)}
        for label, maps in rows.items()
    }
    with atomic_write(path) as temporary:
        temporary.write_bytes(draw_sheet(cells, {"target": offset.intrinsic, "prediction": offset.intrinsic}))


def _teacher(score: dict[str, Any]) -> str:
    teacher = score["teacher"]
    return f"teacher {teacher['name']} {teacher['sha256'][:8]}"
