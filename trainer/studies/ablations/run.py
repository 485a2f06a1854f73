"""Fit and score the cases of an ablation; every fit is kept, so that a stopped ablation goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.offsets import Offset
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU, measures_of, statistics
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.fit import fingerprint, fit
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.job import teacher_facts
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.offsets.score import predict, predictions
from sgi.trainer.studies.ablations.cases import BASELINE, BASELINES, Case
from sgi.trainer.studies.ablations.plot import draw_plot
from sgi.trainer.studies.evaluation.pictures import first
from sgi.trainer.studies.section import Section
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import target_type


@dataclass(frozen=True)
class Bench:
    """What all cases share: the generator, the teacher, pictures to fit on and to score on, and a folder of fits."""

    generator: Generator
    teacher: Teacher
    fitting: Pool
    held: Pool
    folder: Path

    def journal(self, case: Case) -> FitCheckpoint:
        """Checkpoint and log of a case's fit, which depend on nothing else of the case."""
        pool = first(self.fitting, case.images)
        key = fingerprint(
            target_type(self.teacher, case.type),
            case.settings,
            pool,
            generator_sha256(self.generator),
            self.teacher.sha256,
        )
        return FitCheckpoint(self.folder, case.type, key)

    def offset_path(self, case: Case) -> Path:
        """Where the offset of a case's fit lies once it is finished."""
        return self.journal(case).path.with_suffix(".safetensors")

    def missing(self, cases: Sequence[Case]) -> list[Case]:
        """One case for each fit that is still to be made."""
        fits = {case.fit: case for case in cases}
        return [case for case in fits.values() if not self.offset_path(case).exists()]

    def tensors(self, case: Case, on_step: Callable[[int, float], None] | None = None) -> dict[str, Tensor]:
        """The fitted offset of a case, before anything is done to it; an interrupted fit continues."""
        path = self.offset_path(case)
        if not path.exists():
            journal, kind = self.journal(case), target_type(self.teacher, case.type)
            pool = first(self.fitting, case.images)
            made = fit(self.generator, pool, kind, case.settings, journal, on_step)
            sampling = pool.sampling
            Offset(
                case.type, case.settings.space, {name: tensor.numpy() for name, tensor in made.items()},
                generator_sha256(self.generator), sampling.psi, sampling.cutoff, sampling.noise_mode,
                teacher_facts(self.teacher), str(case.settings.loss),
                {"images": case.images, "seed": case.settings.seed, "class_index": sampling.class_index},
                semantics=kind.to_dict(),
            ).save(path)  # fmt: skip
            journal.finish()
        return tensors_of(changed(Offset.load(path), case))


def changed(offset: Offset, case: Case) -> Offset:
    """The offset with a case's factor and rows."""
    if case.rows is not None:
        kept = np.zeros((len(offset.tensors["offset"]), 1), np.float32)
        kept[list(case.rows)] = 1
        offset.tensors["offset"] = offset.tensors["offset"] * kept
    return offset if case.alpha == 1 else offset.scaled(case.alpha)


def measure(
    what: str, bench: Bench, cases: Sequence[Case], on_step: Callable[[Case, int, float], None] | None = None
) -> dict[str, Any]:
    """Fit what is missing and score every case on the held-out pictures.

    on_step: hears of a case, the steps its fit has done, and the loss.

    Returns JSON-ready values but for the pictures: what, cases (label, fit settings, count of numbers in the offset,
    seconds of the fit or None where it was there), rows, figures "depth/space/w+/fvu" and "depth/baseline/ridge/fvu",
    titles and pictures (see sgi.trainer.studies.section), the latter the plot. FVU is about the mean map of all fitting
    pictures, however few of them a case saw.
    """
    section, told = Section(), []
    for name in dict.fromkeys(case.type for case in cases):
        kind = target_type(bench.teacher, name)
        by = measures_of(kind, mean_map(bench.fitting.codes[name]))
        target = bench.held.codes[name].float()
        for case in (case for case in cases if case.type == name):
            began, known = time.monotonic(), bench.offset_path(case).exists()
            tensors = bench.tensors(case, _for_case(on_step, case))
            seconds = None if known else round(time.monotonic() - began, 2)
            prediction = predict(bench.generator, bench.held, kind, case.settings.space, tensors)
            section.add(case.path, by, statistics(by, prediction, target))
            numbers = sum(tensor.numel() for tensor in tensors.values())
            told.append(asdict(case) | {"path": case.path, "numbers": numbers, "seconds": seconds})
        for row, make in predictions(bench.generator, kind, "w", {}, bench.fitting, bench.held).items():
            if row in BASELINES:
                section.add(f"{name}/{BASELINE}/{row}", by, statistics(by, make(), target))
    section.pictures[f"Ablation: {what}"] = draw_plot(cases, section.figures, (FVU, HIGH_PASS_FVU), section.titles)
    rows = {f"{case.series}/{case.label}": f"{case.series} {case.label}" for case in cases}
    rows |= {f"{BASELINE}/{row}": title for row, title in BASELINES.items()}
    return {"what": what, "cases": told, "rows": rows, **section.to_dict()}


def _for_case(on_step: Callable[[Case, int, float], None] | None, case: Case) -> Callable[[int, float], None] | None:
    return (lambda done, loss: on_step(case, done, loss)) if on_step else None
