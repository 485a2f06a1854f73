"""The truth and relighting studies on the offsets of an evaluation, for its report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.file import read_header
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.offsets.job import teacher_facts
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.scenes.variety import VARIETIES
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.relighting import directions as light
from sgi.trainer.studies.relighting.relit_maps import LightFigures, measure_relit_maps
from sgi.trainer.studies.truth.latent_search import SearchSettings
from sgi.trainer.studies.truth.truth_scores import TruthReport, score_against_truth
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.joint_teacher import teacher_of
from sgi.trainer.teachers.unet_teacher import UNetTeacher

TRUTH, LIGHTS = "Against the renderer's truth", "Under other lights"
DEFAULT_VARIETY, NO_ROOMS = "calm", "none"

Section = TruthReport | LightFigures


def offsets_of(context: StudyContext, results: Mapping[Task, TaskResult]) -> list[Offset]:
    """One offset for each type: the existing one, if the study has it, else that of the first fit."""
    found = []
    for name in context.study.types:
        given = [task.row for task in results if task.row.given and task.row.type == name]
        offset = context.study.given(given[0]) if given else _fitted(context, name, results[Task(Row(name))])
        found.append(offset)
    return found


def checked_variety(rooms: str | None, generator: Path) -> str | None:
    """The variety of rooms for the truth study, None for no rooms.

    rooms: a variety or NO_ROOMS; None for the variety in the header of a generator file of this project. Raises
    UserError for a variety that does not exist.
    """
    if rooms == NO_ROOMS:
        return None
    if rooms is not None:
        if rooms not in VARIETIES:
            raise UserError(f"`rooms={rooms}`: choose from {', '.join((NO_ROOMS, *VARIETIES))}")
        return rooms
    try:
        return read_header(generator).notes["training"]["variety"]
    except (UserError, KeyError, TypeError):
        return None


def measure_sections(
    context: StudyContext,
    results: Mapping[Task, TaskResult],
    variety: str | None,
    directions: Path | None,
    progress: Progress = SILENT,
) -> dict[str, Section]:
    """Sections by title: TRUTH, offsets against exact maps of inverted rooms, and LIGHTS, under other lights.

    variety: of the rooms; None if the generator does not generate rooms. directions: a .npy file; None searches for
    directions, if the generator generates rooms and the teacher is a U-Net, and stores them in the study's folder.
    """
    offsets = offsets_of(context, results)
    sections: dict[str, Section] = {}
    if variety is not None and any(offset.type in TYPES for offset in offsets):
        search = SearchSettings(precision=context.study.precision)
        sections[TRUTH] = score_against_truth(
            context.generator, context.teacher, offsets, variety=variety, search=search, progress=progress
        )
    if directions is None and variety is not None and _lights_can_be_found(context.teacher):
        directions = _found_directions(context, progress)
    if directions is not None:
        lights = light.load_directions(directions, context.generator.config)
        sections[LIGHTS] = measure_relit_maps(
            context.generator, context.teacher, offsets, lights, variety=variety or DEFAULT_VARIETY
        )
    return sections


def uses_rooms(context: StudyContext, directions: Path | None) -> bool:
    """Whether `measure_sections` renders rooms, given a variety."""
    types = context.study.types
    return directions is not None or _lights_can_be_found(context.teacher) or any(name in TYPES for name in types)


def section_figures(section: Section) -> dict[str, Any]:
    """A section without its pictures, as in report.json; figures have five significant digits."""
    values = section.to_dict()
    figures = {
        path: {key: None if value is None else float(f"{value:.5g}") for key, value in figure.items()}
        for path, figure in values["figures"].items()
    }
    return values | {"figures": figures}


def _lights_can_be_found(teacher: Teacher) -> bool:
    """Whether a U-Net predicts the shading; it is differentiable, and small enough for the search."""
    return "shading" in teacher.types and isinstance(teacher_of(teacher, "shading"), UNetTeacher)


def _found_directions(context: StudyContext, progress: Progress) -> Path:
    """The file of directions for this generator and teacher; the first call searches for them, which takes minutes."""
    study = context.study
    path = study.folder / f"directions-{study.generator_sha256[:8]}-{study.teacher_sha256[:8]}.npy"
    if not path.exists():
        settings = light.DirectionSettings(precision=study.precision)
        study.folder.mkdir(parents=True, exist_ok=True)
        found = light.find_directions(context.generator, context.teacher, study.sampling, settings, progress)
        light.save_directions(path, found)
    return path


def _fitted(context: StudyContext, name: str, result: TaskResult) -> Offset:
    sampling, study = context.study.sampling, context.study
    return Offset(
        type=name,
        space="w+",
        tensors={key: tensor.numpy() for key, tensor in result.tensors.items()},
        generator_sha256=study.generator_sha256,
        psi=sampling.psi,
        cutoff=sampling.cutoff,
        noise_mode=sampling.noise_mode,
        teacher=teacher_facts(context.teacher),
        fit={"images": study.images, "seed": 0, "class_index": sampling.class_index},
        semantics=context.kinds[name].to_dict(),
    )
