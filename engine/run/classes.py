"""Runs of several classes of a conditional model: one run of `run_seeds` for each, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sgi.engine.api import bundled_model
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError, one_line
from sgi.engine.labels import MIX, labels_of, parse_weights
from sgi.engine.run.runner import RunInterrupted, RunReport, run_seeds
from sgi.engine.seeds import Seeds, parse_seeds


def parse_classes(text: str) -> Sequence[int] | dict[int, float]:
    """Parse `0,3,5-7`, classes and inclusive ranges without duplicates, or `3:0.7,5:0.3`, the weights of one label.

    Raises UserError for anything else.
    """
    if ":" in text:
        return parse_weights(text)
    try:
        return parse_seeds(text)
    except UserError:
        raise UserError(
            f"`class_index={one_line(text, 60)}`: write classes and inclusive ranges such as 0,3,5-7, or {MIX}"
        ) from None


def run_classes(
    seeds: str | Seeds,
    class_index: str | Sequence[int] | Mapping[int, float] | None,
    *,
    model: str | Path | None = None,
    outdir: str | Path = "out",
    noise_mode: str | None = None,
    **options: Any,
) -> list[RunReport]:
    """`run_seeds` for each class of `class_index`; returns the report of each.

    class_index: classes, or text such as "0,3,5-7"; or {class: weight}, or text such as "3:0.7,5:0.3", a weighted sum
    of classes as one label; None for a model without classes. One class or sum is written to `outdir`, several classes
    to the folders `outdir/class0`, `outdir/class3` and so on. noise_mode: none, const or random, the noise that the
    model must have; None for any. The other arguments are those of `run_seeds`.

    Raises UserError as `run_seeds` does, for a class that the model does not have before any file is written, and
    RunInterrupted with the figures of all classes.
    """
    if noise_mode is not None:
        Artifact.read(bundled_model() if model is None else model).check_noise_mode(noise_mode)
    classes = parse_classes(class_index) if isinstance(class_index, str) else class_index
    if classes is None or isinstance(classes, Mapping) or len(classes) == 1:
        only = classes if classes is None or isinstance(classes, Mapping) else classes[0]
        return [run_seeds(seeds, model=model, outdir=outdir, class_index=only, **options)]
    artifact = Artifact.read(bundled_model() if model is None else model)
    labels_of(max(classes), 1, artifact.c_dim)
    reports: list[RunReport] = []
    for chosen in classes:
        folder = Path(outdir) / f"class{chosen}"
        try:
            reports.append(run_seeds(seeds, model=model, outdir=folder, class_index=chosen, **options))
        except RunInterrupted as stop:
            finished = sum(report.written + report.found for report in reports) + stop.finished
            raise RunInterrupted(finished, stop.total * len(classes)) from None
    return reports
