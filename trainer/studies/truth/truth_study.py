"""The truth study: the errors of the maps of offsets against the exact maps of rendered rooms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sgi.engine.errors import UserError
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.studies.study_inputs import open_offsets, study_precision
from sgi.trainer.studies.truth.latent_search import SearchSettings
from sgi.trainer.studies.truth.truth_scores import ROOMS, TruthReport, score_against_truth


@dataclass(frozen=True, kw_only=True)
class TruthSettings:
    """Settings of the truth study.

    generator: file; None is the bundled one. offsets: files to score; () is the bundled ones, for the bundled
    generator. teacher: spec, see sgi.trainer.teachers. rooms: how many to render. variety: of the rooms, the one the
    generator was trained on. steps, prior, rows: of the inversion, see `SearchSettings`. device: cpu or cuda. backend:
    torch, triton or auto, see `choose_backend`. threads: number of CPU threads; None does not change it. precision:
    fp32 or bf16; None is `preferred_precision`.
    """

    generator: Path | None = None
    offsets: tuple[Path, ...] = ()
    teacher: str = "bundled"
    rooms: int = ROOMS
    variety: str = "calm"
    steps: int = 200
    prior: float = 0.03
    rows: float = 0.3
    device: str = "cpu"
    backend: str = AUTO
    threads: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        if self.generator and not self.offsets:
            raise UserError("`offsets` is missing: pass the offsets that were fitted on `generator`")


def compare_with_truth(settings: TruthSettings, progress: Progress = SILENT) -> TruthReport:
    """Invert rendered rooms and score the maps of offsets against the exact ones.

    Raises UserError for invalid files and settings, and if no offset has exact maps.

        from sgi.trainer.studies.truth import TruthSettings, compare_with_truth

        report = compare_with_truth(TruthSettings(rooms=8))
        print(report.to_dict()["figures"]["depth/offset/fvu"])
    """
    device = find_device(settings.device, settings.threads)
    search = SearchSettings(
        steps=settings.steps, prior=settings.prior, rows=settings.rows,
        precision=study_precision(settings.precision, device),
    )  # fmt: skip
    generator = open_generator(settings.generator, device, settings.backend)
    offsets = open_offsets(settings.offsets, settings.generator, generator)
    teacher = teachers.load_teacher(settings.teacher, settings.device)
    return score_against_truth(generator, teacher, offsets, settings.rooms, settings.variety, search, progress)
