"""Runs of several classes or mix seeds: one run of `run_seeds` for each, in a folder of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError, one_line
from sgi.engine.labels import MIX, labels_of, parse_weights
from sgi.engine.run.runner import RunInterrupted, RunReport, run_seeds
from sgi.engine.run.source import open_source
from sgi.engine.run.stores.opening import check_outdir, inside, open_store
from sgi.engine.seeds import Seeds, parse_seeds, seed_stem

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


def parse_mix_seeds(text: str) -> Seeds:
    """Parse `100,200-203`, seeds whose rows of w+ are mixed in; raises UserError for anything else."""
    try:
        return parse_seeds(text)
    except UserError:
        raise UserError(
            f"`mix_seed={one_line(text, 60)}`: write seeds and inclusive ranges such as 100,200-203"
        ) from None


def run_classes(
    seeds: str | Seeds | None,
    class_index: str | Sequence[int] | Mapping[int, float] | None,
    *,
    outdir: str | Path = "out",
    latents: str | Path | Sequence[str | Path] | None = None,
    mix_seed: str | Sequence[int] | None = None,
    **options: Any,
) -> list[RunReport]:
    """`run_seeds` for each class of `class_index` and each seed of `mix_seed`; returns the report of each.

    seeds: None with `latents`, files of latents. class_index: classes, or text such as "0,3,5-7"; or {class: weight},
    or text such as "3:0.7,5:0.3", a weighted sum of classes as one label; None for a model without classes. mix_seed:
    seeds, or text such as "100,200-203"; None without style mixing. One class or sum and one mix seed are written to
    `outdir`, several classes to the folders `outdir/class0`, `outdir/class3` and so on, and several mix seeds to the
    folders `mix000100` of these. The other arguments are those of `run_seeds`.

    Raises UserError as `run_seeds` does, for a class that the model does not have before any file is written, and
    RunInterrupted with the figures of all runs.
    """
    classes = parse_classes(class_index) if isinstance(class_index, str) else class_index
    labels: list[Any] = [classes] if classes is None or isinstance(classes, Mapping) else list(classes)
    mixed = parse_mix_seeds(mix_seed) if isinstance(mix_seed, str) else mix_seed
    others: list[int | None] = list(mixed or ()) or [None]
    place = check_outdir(outdir)
    runs = [(label, other, _folder(place, label, other, labels, others)) for label in labels for other in others]
    source = None
    if len(runs) > 1:
        with open_store(runs[0][2]) as store:
            store.read_records()
            source = open_source(
                store.folder,
                **{name: value for name, value in options.items() if name in _SOURCE_OPTIONS},
            )
    if source and classes is not None and not isinstance(classes, Mapping):
        labels_of(max(classes), 1, source.model.artifact.c_dim)
    options |= {"latents": latents, "source": source}
    reports: list[RunReport] = []
    for label, other, folder in runs:
        try:
            reports.append(run_seeds(seeds, outdir=folder, class_index=label, mix_seed=other, **options))
        except RunInterrupted as stop:
            finished = sum(report.written + report.found for report in reports) + stop.finished
            raise RunInterrupted(finished, stop.total * len(runs), stop.item) from None
    return reports


def _folder(
    outdir: Path | str, label: Any, other: int | None, labels: list[Any], others: list[int | None]
) -> Path | str:
    """The folder or URL of a run of one class and mix seed among these."""
    if len(labels) > 1:
        outdir = inside(outdir, f"class{label}")
    return inside(outdir, seed_stem(other, item="mix")) if len(others) > 1 and other is not None else outdir
