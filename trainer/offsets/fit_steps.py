"""A callback that reports the steps of a fit as the progress of a stage."""

from __future__ import annotations

import math
from collections.abc import Callable

from sgi.engine.progress import Stage


def report_steps(stage: Stage, note: str = "") -> Callable[[int, float], None]:
    """Return a callback for `fit` that advances a stage by the steps since its last call.

    note: text beside the progress bar. The first call, before the first step, counts the steps of an earlier run.
    """
    before = 0

    def on_step(done: int, loss: float) -> None:
        nonlocal before
        words = [note, "" if math.isnan(loss) else f"loss {loss:.4f}"]
        stage.advance(done - before, " ".join(filter(None, words)))
        before = done

    return on_step
