"""Fit and score the cases of an ablation. Every finished fit is stored, so that a stopped ablation can resume."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress, Stage
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU, measures_of, statistics
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.fit import fingerprint, fit
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.fit_steps import report_steps
from sgi.trainer.offsets.held_out_score import predict, predictions
from sgi.trainer.offsets.job import teacher_facts
from sgi.trainer.offsets.pool import Pool
from sgi.trainer.studies.ablations.cases import BASELINE, BASELINES, Case
from sgi.trainer.studies.ablations.plot import draw_plot
from sgi.trainer.studies.figures import FigureSet
from sgi.trainer.studies.study_inputs import first_pictures
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import target_type


@dataclass(frozen=True)
class CaseFits:
    """The fits of all cases.

    fitting, held: pictures to fit on and to score on. folder: of checkpoints, logs and finished offsets.
    """

    generator: Generator
    teacher: Teacher
    fitting: Pool
    held: Pool
    folder: Path

    def checkpoint(self, case: Case) -> FitCheckpoint:
        """Checkpoint and log of a case's fit; cases that share the fit share them."""
        pool = first_pictures(self.fitting, case.images)
        key = fingerprint(
            target_type(self.teacher, case.type),
            case.settings,
            pool,
            generator_sha256(self.generator),
            self.teacher.sha256,
        )
        return FitCheckpoint(self.folder, case.type, key)

    def offset_path(self, case: Case) -> Path:
        """The file of the offset of a finished fit."""
        return self.checkpoint(case).path.with_suffix(".safetensors")

    def missing(self, cases: Sequence[Case]) -> list[Case]:
        """One case for each fit that is not finished."""
        fits = {case.fit: case for case in cases}
        return [case for case in fits.values() if not self.offset_path(case).exists()]

    def tensors(self, case: Case, stage: Stage | None = None) -> dict[str, Tensor]:
        """The tensors of a case's offset, read from its file or fitted; an interrupted fit resumes.

        stage: progress of the steps.
        """
        path = self.offset_path(case)
        if not path.exists():
            checkpoint, kind = self.checkpoint(case), target_type(self.teacher, case.type)
            pool = first_pictures(self.fitting, case.images)
            note = f"{case.type} {case.series} {case.label}"
            on_step = report_steps(stage, note) if stage else None
            made = fit(self.generator, pool, kind, case.settings, checkpoint, on_step)
            sampling = pool.sampling
            Offset(
                case.type, case.settings.space, {name: tensor.numpy() for name, tensor in made.items()},
                generator_sha256(self.generator), sampling.psi, sampling.cutoff, sampling.noise_mode,
                teacher_facts(self.teacher), str(case.settings.loss),
                {"images": case.images, "seed": case.settings.seed, "class_index": sampling.class_index},
                semantics=kind.to_dict(),
            ).save(path)  # fmt: skip
            checkpoint.finish()
        return tensors_of(changed(Offset.load(path), case))


def changed(offset: Offset, case: Case) -> Offset:
    """The offset times the factor of a case, with only the rows of the case."""
    if case.rows is not None:
        kept = np.zeros((len(offset.tensors["offset"]), 1), np.float32)
        kept[list(case.rows)] = 1
        offset.tensors["offset"] = offset.tensors["offset"] * kept
    return offset if case.alpha == 1 else offset.scaled(case.alpha)


@dataclass(frozen=True)
class ScoredCases:
    """Figures of cases.

    cases: JSON-ready values of each: its fields, `path`, `numbers` (count of numbers in the offset) and `seconds` (of
    the fit, None if it already existed). figures: by keys such as "depth/space/w+/fvu" and "depth/baseline/ridge/fvu",
    with the plot as picture.
    """

    cases: list[dict[str, Any]]
    figures: FigureSet


def score_cases(what: str, fits: CaseFits, cases: Sequence[Case], progress: Progress = SILENT) -> ScoredCases:
    """Compute the missing fits and score every case on the held-out pictures.

    The mean map of the FVU is that of all fitting pictures, also for cases that are fitted on fewer pictures.
    """
    rows = {f"{case.series}/{case.label}": f"{case.series} {case.label}" for case in cases}
    found = FigureSet(rows | {f"{BASELINE}/{row}": title for row, title in BASELINES.items()})
    scored: list[dict[str, Any]] = []
    steps = sum(case.settings.steps for case in fits.missing(cases))
    with progress.stage(what, steps, "steps") as stage:
        for name in dict.fromkeys(case.type for case in cases):
            kind = target_type(fits.teacher, name)
            by = measures_of(kind, mean_map(fits.fitting.codes[name]))
            target = fits.held.codes[name].float()
            for case in (case for case in cases if case.type == name):
                began, existed = time.monotonic(), fits.offset_path(case).exists()
                tensors = fits.tensors(case, stage)
                seconds = None if existed else round(time.monotonic() - began, 2)
                prediction = predict(fits.generator, fits.held, kind, case.settings.space, tensors)
                found.add(case.path, by, statistics(by, prediction, target))
                numbers = sum(tensor.numel() for tensor in tensors.values())
                scored.append(asdict(case) | {"path": case.path, "numbers": numbers, "seconds": seconds})
            for row, make in predictions(fits.generator, kind, "w", {}, fits.fitting, fits.held).items():
                if row in BASELINES:
                    found.add(f"{name}/{BASELINE}/{row}", by, statistics(by, make(), target))
    found.pictures[f"Ablation: {what}"] = draw_plot(cases, found.figures, (FVU, HIGH_PASS_FVU), found.titles)
    return ScoredCases(scored, found)
