"""An ablation: plan its fits, compute and score them, and draw the plot."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from sgi.engine.files import atomic_write, check_writable
from sgi.engine.generator import Generator
from sgi.engine.intrinsics import check_channels
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.measures.by_type import FVU, HIGH_PASS_FVU
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.offsets.pool import Sampling, build_pool
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.offsets.timing import time_fit
from sgi.trainer.studies.ablations.case_fits import CaseFits, ScoredCases, score_cases
from sgi.trainer.studies.ablations.cases import Case, cases_of
from sgi.trainer.studies.study_inputs import study_precision, study_sampling
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import target_type

DEFAULT_TYPES = ("depth", "albedo")
FITS, CACHE = "fits", "teacher"


@dataclass(frozen=True, kw_only=True)
class AblationSettings:
    """Settings of an ablation.

    what: spaces (w, w+, style, lora), rows (of w+), images (number of pictures to fit on) or alpha (factor on the
    offset). types: maps to fit. generator: file; None is the bundled one. teacher: spec, see sgi.trainer.teachers.
    steps, batch: of every fit. images: pictures to fit on, the most that "images" tries. holdout: held-out pictures to
    score on. psi, cutoff, noise_mode, class_index: see `Sampling`; noise_mode None is none for the bundled generator
    and const for others. seed: stream and order of the pictures to fit on. out: folder of fits, which several ablations
    can share. device: cpu or cuda. backend: torch, triton or auto, see `choose_backend`. threads: number of CPU
    threads; None does not change it. precision: fp32 or bf16; None is `preferred_precision`.
    """

    what: str
    types: tuple[str, ...] = DEFAULT_TYPES
    generator: Path | None = None
    teacher: str = "bundled"
    steps: int = 400
    batch: int = 16
    images: int = 2000
    holdout: int = 256
    psi: float = 1.0
    cutoff: int | None = None
    noise_mode: str | None = None
    class_index: int | None = None
    seed: int = 0
    out: Path = Path("ablations")
    device: str = "cpu"
    backend: str = AUTO
    threads: int | None = None
    precision: str | None = None


@dataclass(frozen=True)
class AblationPlan:
    """What an ablation computes.

    cases: number of points. fits: number of fits, finished ones included. seconds: estimate for all of them. folder:
    of finished fits.
    """

    what: str
    cases: int
    fits: int
    seconds: float
    folder: Path

    def __str__(self) -> str:
        minutes = math.ceil(self.seconds / 60)
        return (
            f"{self.what}: {self.cases} cases of {self.fits} fits, about {minutes} min; "
            f"finished fits stay in {self.folder}"
        )


@dataclass(frozen=True)
class AblationReport:
    """Result of an ablation. holdout: number of held-out pictures."""

    what: str
    holdout: int
    scored: ScoredCases

    def to_dict(self) -> dict[str, Any]:
        """The report without the plot, as JSON-ready values."""
        figures = self.scored.figures
        return {"what": self.what, "cases": self.scored.cases, "rows": figures.rows} | figures.to_dict()

    def table(self) -> Table:
        """FVU and high-pass FVU of every case."""
        title = f"{self.what}, {self.holdout} held-out seeds, 95 % intervals"
        return self.scored.figures.table((FVU, HIGH_PASS_FVU), title)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the plot and the figures, named after the ablation; returns both paths."""
        plot, figures = folder / f"{self.what}.png", folder / f"{self.what}.json"
        folder.mkdir(parents=True, exist_ok=True)
        (picture,) = self.scored.figures.pictures.values()
        for path, data in ((plot, picture), (figures, (json.dumps(self.to_dict(), indent=1) + "\n").encode())):
            with atomic_write(path) as temporary:
                temporary.write_bytes(data)
        return plot, figures


def plan_ablation(settings: AblationSettings) -> AblationPlan:
    """Count the cases and fits of an ablation and estimate its time from a few timed steps; writes nothing.

    Raises UserError for invalid settings.
    """
    return _plan(settings, _open(settings))


def ablate(settings: AblationSettings, progress: Progress = SILENT) -> AblationReport:
    """Fit and score the cases of an ablation; a second call after an interruption resumes.

    Raises UserError for invalid settings and for a loss that diverges.

        from pathlib import Path
        from sgi.trainer.studies.ablations import AblationSettings, ablate

        report = ablate(AblationSettings(what="spaces", types=("depth",), steps=100))
        report.write(Path("ablations"))
    """
    opened = _open(settings)
    plan = _plan(settings, opened)
    progress.message(str(plan))
    settings.out.mkdir(parents=True, exist_ok=True)
    with progress.stage("pictures", settings.images + settings.holdout, "pictures") as stage:
        fitting, held = (
            build_pool(
                opened.generator, opened.teacher, opened.types, seeds, opened.sampling, stage.advance,
                settings.out / CACHE,
            )
            for seeds in (opened.fitting, opened.held)
        )  # fmt: skip
    fits = CaseFits(opened.generator, opened.teacher, fitting, held, plan.folder)
    scored = score_cases(settings.what, fits, opened.cases, progress)
    return AblationReport(settings.what, settings.holdout, scored)


@dataclass(frozen=True)
class _Opened:
    generator: Generator
    teacher: Teacher
    types: list[str]
    sampling: Sampling
    fit: FitSettings
    fitting: range
    held: range
    cases: list[Case]


def _open(settings: AblationSettings) -> _Opened:
    """Load the models and check the settings."""
    check_writable(settings.out, folder=True, make=True)
    device = find_device(settings.device, settings.threads)
    fit = FitSettings(
        steps=settings.steps, batch=settings.batch, seed=settings.seed,
        precision=study_precision(settings.precision, device),
    )  # fmt: skip
    sampling = study_sampling(
        settings.generator, settings.psi, settings.cutoff, settings.noise_mode, settings.class_index
    )
    fitting, held = fitting_seeds(settings.images, settings.seed), scoring_seeds(settings.holdout)
    generator = open_generator(settings.generator, device, settings.backend)
    types = list(dict.fromkeys(settings.types))
    cases = cases_of(settings.what, types, fit, settings.images, generator.config)
    teacher = teachers.load_teacher(settings.teacher, settings.device)
    return _Opened(generator, teacher, types, sampling, fit, fitting, held, cases)


def _plan(settings: AblationSettings, opened: _Opened) -> AblationPlan:
    kinds = [target_type(opened.teacher, name) for name in opened.types]
    for kind in kinds:
        check_channels(kind, opened.generator.config.img_channels)
    timing = time_fit(opened.generator, opened.teacher, kinds, opened.sampling, opened.fit)
    fits = len({case.fit for case in opened.cases})
    pictures = settings.images + settings.holdout * (1 + len(opened.cases))
    seconds = fits * timing.fit(settings.steps) + pictures * timing.picture
    return AblationPlan(settings.what, len(opened.cases), fits, seconds, settings.out / FITS)
