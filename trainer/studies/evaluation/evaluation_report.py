"""The report of an evaluation: figures, verdicts, pictures, and its two files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine.files import atomic_write
from sgi.engine.version import __version__
from sgi.trainer.offsets.seed_splits import describe
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.html_report import html_page
from sgi.trainer.studies.evaluation.map_sheets import map_sheets
from sgi.trainer.studies.evaluation.markdown_report import sentences
from sgi.trainer.studies.evaluation.model_facts import parameters, teacher_facts
from sgi.trainer.studies.evaluation.reconstruction import reconstruction
from sgi.trainer.studies.evaluation.reference_scores import reference_scores
from sgi.trainer.studies.evaluation.report_rows import Entry, report_rows
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Task
from sgi.trainer.studies.evaluation.truth_and_lights import Section, section_figures
from sgi.trainer.studies.evaluation.verdict import judge
from sgi.trainer.teachers import Teacher

FORMAT = 1
REPORT, PAGE = "report.json", "report.html"

Pictures = dict[str, bytes]
"""PNGs by title."""


@dataclass
class EvaluationReport:
    """Result of an evaluation; all fields but the pictures are JSON-ready.

    generator: sha256, resolution, parameters. teacher: name, sha256, parameters. types: descriptions. settings: of the
    fits. held_out: seeds. core_minutes: of all tasks. rows: see `report_rows`. verdicts: see `judge`. reconstruction,
    references: see the modules of these names. sections: truth and lights, by title. pictures: of the maps and
    controls. section_pictures: of the sections, by title.
    """

    generator: dict[str, Any]
    teacher: dict[str, Any]
    types: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    held_out: str
    core_minutes: float
    rows: list[Entry]
    verdicts: dict[str, Any]
    reconstruction: dict[str, Any]
    references: list[dict[str, Any]]
    sections: dict[str, dict[str, Any]]
    pictures: Pictures
    section_pictures: dict[str, Pictures]

    def to_dict(self) -> dict[str, Any]:
        """The report without the pictures, as in report.json."""
        names = (
            "generator", "teacher", "types", "settings", "held_out", "core_minutes", "rows", "verdicts",
            "reconstruction", "references", "sections",
        )  # fmt: skip
        return {"format": FORMAT, "sgi_engine": __version__} | {name: getattr(self, name) for name in names}

    def sentences(self) -> list[str]:
        """The verdict in sentences."""
        return sentences(self.to_dict())

    def to_html(self) -> str:
        """The report with its pictures as one page that needs no other file."""
        return html_page(self.to_dict(), self.pictures, self.section_pictures)

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write report.json and report.html; returns both paths."""
        report = _compact(json.dumps(self.to_dict(), indent=1, allow_nan=False)) + "\n"
        paths = folder / REPORT, folder / PAGE
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (report, self.to_html()), strict=True):
            with atomic_write(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return paths


def make_report(
    context: StudyContext,
    results: Mapping[Task, TaskResult],
    *,
    fits: int,
    control_fits: int,
    references: list[Teacher] | None = None,
    sections: Mapping[str, Section] | None = None,
) -> EvaluationReport:
    """The report of a study's results.

    fits, control_fits: fits of each map and of each other row. references: other teachers to score against. sections:
    see `measure_sections`.
    """
    study, sections = context.study, sections or {}
    rows = report_rows(results, context.kinds)
    return EvaluationReport(
        generator={
            "sha256": study.generator_sha256,
            "resolution": context.generator.config.resolution,
            "parameters": parameters(context.generator),
        },
        teacher=teacher_facts(context.teacher),
        types={name: context.kinds[name].to_dict() for name in study.types},
        settings={
            "steps": study.steps,
            "batch": study.batch,
            "images": study.images,
            "fits": fits,
            "control_fits": control_fits,
            "precision": study.precision,
            "psi": study.sampling.psi,
            "noise_mode": study.sampling.noise_mode,
        },
        held_out=describe(context.held().seeds),
        core_minutes=round(sum(result.seconds for result in results.values()) / 60, 1),
        rows=rows,
        verdicts=judge(rows),
        reconstruction=reconstruction(context, results),
        references=[reference_scores(context, results, other) for other in references or ()],
        sections={title: section_figures(section) for title, section in sections.items()},
        pictures=map_sheets(context, results),
        section_pictures={title: section.figures.pictures for title, section in sections.items()},
    )


def _compact(text: str) -> str:
    """JSON with each innermost object and list, such as an estimate, on one line."""
    for brackets in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(brackets, lambda found: " ".join(found[0].split()), text)
    return text
