"""Runs of several classes of a conditional model: one run of `run_seeds` for each, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError, one_line
from sgi.engine.labels import MIX, labels_of, parse_weights
from sgi.engine.run.runner import RunInterrupted, RunReport, run_seeds
from sgi.engine.run.source import open_source
from sgi.engine.seeds import Seeds, parse_seeds

_SOURCE_OPTIONS = signature(open_source).parameters


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
    outdir: str | Path = "out",
    **options: Any,
) -> list[RunReport]:
    """`run_seeds` for each class of `class_index`; returns the report of each.

    class_index: classes, or text such as "0,3,5-7"; or {class: weight}, or text such as "3:0.7,5:0.3", a weighted sum
    of classes as one label; None for a model without classes. One class or sum is written to `outdir`, several classes
    to the folders `outdir/class0`, `outdir/class3` and so on. The other arguments are those of `run_seeds`.

    Raises UserError as `run_seeds` does, for a class that the model does not have before any file is written, and
    RunInterrupted with the figures of all classes.
    """
    classes = parse_classes(class_index) if isinstance(class_index, str) else class_index
    if classes is None or isinstance(classes, Mapping) or len(classes) == 1:
        only = classes if classes is None or isinstance(classes, Mapping) else classes[0]
        return [run_seeds(seeds, outdir=outdir, class_index=only, **options)]
    folders = {chosen: Path(outdir) / f"class{chosen}" for chosen in classes}
    source = open_source(
        folders[classes[0]], **{name: value for name, value in options.items() if name in _SOURCE_OPTIONS}
    )
    labels_of(max(classes), 1, source.model.artifact.c_dim)
    reports: list[RunReport] = []
    for chosen, folder in folders.items():
        try:
            reports.append(run_seeds(seeds, outdir=folder, class_index=chosen, source=source, **options))
        except RunInterrupted as stop:
            finished = sum(report.written + report.found for report in reports) + stop.finished
            raise RunInterrupted(finished, stop.total * len(classes)) from None
    return reports
