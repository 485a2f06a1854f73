"""Measurements beside the study, for its report: against the renderer's truth, and under other lights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.file import read_header
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.job import teacher_facts
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.studies import relighting, truth
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.work import Result, World
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.panel import teacher_of
from sgi.trainer.teachers.unet_teacher import UNetTeacher

Section = dict[str, Any]
DEFAULT_VARIETY, NO_ROOMS = "calm", "none"


def offsets_of(world: World, results: Mapping[Task, Result]) -> list[Offset]:
    """An offset of every type: the given one where there is one, else that of the first fit."""
    found = []
    for name in world.study.types:
        given = [task.row for task in results if task.row.given and task.row.type == name]
        found.append(world.study.given(given[0]) if given else _fitted(world, name, results[Task(Row(name))]))
    return found


def checked_variety(asked: str | None, generator: Path) -> str | None:
    """The variety of rooms to measure truth on, None for no rooms.

    asked: a variety or NO_ROOMS; None for what a native generator file says it was trained on. Raises UserError for
    a variety that does not exist.
    """
    if asked == NO_ROOMS:
        return None
    if asked is not None:
        return get_variety(asked).name
    try:
        return read_header(generator).notes["training"]["variety"]
    except (UserError, KeyError, TypeError):
        return None


def measure(
    world: World, results: Mapping[Task, Result], variety: str | None, directions: Path | None
) -> dict[str, Section]:
    """Sections by title: offsets against exact maps of inverted rooms, and under other lights.

    variety: of the rooms; None where the generator shows no rooms. directions: a .npy of lights; None finds some where
    there are rooms and a native teacher, and keeps them in the study's folder. See `measure` of
    sgi.trainer.studies.truth and of sgi.trainer.studies.relighting.
    """
    offsets, sections = offsets_of(world, results), {}
    if variety is not None and any(offset.type in TYPES for offset in offsets):
        settings = truth.InversionSettings(precision=world.study.precision)
        sections["Against the renderer's truth"] = truth.measure(
            world.generator, world.teacher, offsets, variety=variety, settings=settings
        )
    if directions is None and variety is not None and _lights_can_be_found(world.teacher):
        directions = _found_directions(world)
    if directions is not None:
        lights = relighting.load_directions(directions, world.generator.config)
        sections["Under other lights"] = relighting.measure(
            world.generator, world.teacher, offsets, lights, variety=variety or DEFAULT_VARIETY
        )
    return sections


def _lights_can_be_found(teacher: Teacher) -> bool:
    """Whether a native teacher tells of light: it is small enough to search through, and differentiable."""
    return "shading" in teacher.types and isinstance(teacher_of(teacher, "shading"), UNetTeacher)


def _found_directions(world: World) -> Path:
    """The file of the lights found for this generator by this teacher; the search takes minutes, and only once."""
    study = world.study
    path = study.folder / f"directions-{study.generator_sha256[:8]}-{study.teacher_sha256[:8]}.npy"
    if not path.exists():
        settings = relighting.DirectionSettings(precision=study.precision)
        study.folder.mkdir(parents=True, exist_ok=True)
        relighting.save_directions(path, relighting.find(world.generator, world.teacher, study.sampling, settings))
    return path


def figures_only(section: Section) -> Section:
    """A section as report.json keeps it: everything but the pictures, and figures at five digits."""
    figures = {
        path: {key: None if value is None else float(f"{value:.5g}") for key, value in told.items()}
        for path, told in section["figures"].items()
    }
    return {key: value for key, value in section.items() if key != "pictures"} | {"figures": figures}


def _fitted(world: World, name: str, result: Result) -> Offset:
    sampling, study = world.study.sampling, world.study
    return Offset(
        type=name,
        space="w+",
        tensors={key: tensor.numpy() for key, tensor in result.tensors.items()},
        generator_sha256=study.generator_sha256,
        psi=sampling.psi,
        cutoff=sampling.cutoff,
        noise_mode=sampling.noise_mode,
        teacher=teacher_facts(world.teacher),
        fit={"images": study.images, "seed": 0, "class_index": sampling.class_index},
        semantics=world.kinds[name].to_dict(),
    )
