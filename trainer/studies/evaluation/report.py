"""report.json: everything a study found, as figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sgi.engine.decoding import srgb_encode
from sgi.engine.files import atomic_write
from sgi.engine.version import __version__
from sgi.trainer.measures.bootstrap import draw
from sgi.trainer.measures.by_type import Measure, linear, measures_of, statistics
from sgi.trainer.measures.metrics import squared_error
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.pool import build_pool
from sgi.trainer.offsets.score import OFFSET, predict, predictions
from sgi.trainer.offsets.seed_splits import describe
from sgi.trainer.studies.evaluation.summary import rounded, summarise
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.verdict import judge
from sgi.trainer.studies.evaluation.work import Result, World
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.panel import Panel

FORMAT = 1
TEACHER = "teacher"
BESIDE_REFERENCE = ("constant", "pixel_affine", "ridge")

Results = Mapping[Task, Result]


def build(world: World, results: Results, fits: int, control_fits: int) -> dict[str, Any]:
    """The report of a study, JSON-ready, without references and sections (see the module's other functions).

    format, sgi_engine (version), generator, teacher {name, sha256, parameters ...}, types (their descriptions),
    settings, held_out (seeds), core_minutes (of all tasks), rows (sgi.trainer.studies.evaluation.summary), verdicts
    (sgi.trainer.studies.evaluation.verdict), reconstruction.
    """
    study, config = world.study, world.generator.config
    rows = summarise(results, world.kinds)
    return {
        "format": FORMAT,
        "sgi_engine": __version__,
        "generator": {
            "sha256": study.generator_sha256,
            "resolution": config.resolution,
            "parameters": parameters(world.generator),
        },
        "teacher": teacher_facts(world.teacher),
        "types": {name: world.kinds[name].to_dict() for name in study.types},
        "settings": {
            "steps": study.steps,
            "batch": study.batch,
            "images": study.images,
            "fits": fits,
            "control_fits": control_fits,
            "precision": study.precision,
            "psi": study.sampling.psi,
            "noise_mode": study.sampling.noise_mode,
        },
        "held_out": describe(world.held().seeds),
        "core_minutes": round(sum(result.seconds for result in results.values()) / 60, 1),
        "rows": rows,
        "verdicts": judge(rows),
        "reconstruction": reconstruction(world, results),
    }


def teacher_facts(teacher: Teacher) -> dict[str, Any]:
    """What the report says of a teacher; parameters is 0 for one that is a formula."""
    return {"name": teacher.name, "sha256": teacher.sha256, "parameters": parameters(teacher)}


def parameters(model: object) -> int:
    """Numbers in a module, in the modules that an object holds, or in those of a panel's members."""
    if isinstance(model, Panel):
        return sum(parameters(member) for member in model.members)
    modules = [model] if isinstance(model, nn.Module) else [m for m in vars(model).values() if isinstance(m, nn.Module)]
    return sum(tensor.numel() for module in modules for tensor in module.parameters())


def reconstruction(world: World, results: Results) -> dict[str, Any]:
    """How well albedo times shading gives the picture back: RMSE of sRGB codes, of the offsets and of the teacher.

    Offsets are paired fit by fit. Empty unless the study has both types.
    """
    pairs = [[results.get(Task(Row(name), stream)) for name in ("albedo", "shading")] for stream in range(len(results))]
    fitted = [(albedo, shading) for albedo, shading in pairs if albedo and shading]
    if not fitted:
        return {}
    held = world.held()
    measure = Measure(
        "RMSE", lambda prediction, target: squared_error(prediction, target)[:, None], lambda mean: mean[..., 0] ** 0.5
    )

    def kept(albedo: torch.Tensor, shading: torch.Tensor) -> Any:
        light = linear("albedo", albedo.float()) * linear("shading", shading.float())
        made = torch.from_numpy(srgb_encode(light.clamp(0, 1).numpy()))
        return measure.statistics(made, held.images.float()).numpy()

    def showing(name: str, fit: Result) -> torch.Tensor:
        return predict(world.generator, held, name, "w+", fit.tensors)

    prediction = [kept(showing("albedo", albedo), showing("shading", shading)) for albedo, shading in fitted]
    return {
        OFFSET: rounded(draw(measure, prediction).estimate()),
        TEACHER: rounded(draw(measure, [kept(held.codes["albedo"], held.codes["shading"])]).estimate()),
    }


def reference(world: World, results: Results, other: Teacher) -> dict[str, Any]:
    """Offsets fitted on the study's teacher, scored against another: {name, sha256, parameters, types}.

    types: {type: {predictor: {measure: estimate}}} of the types that both tell; the predictors are the offset, the
    study's teacher itself, and baselines fitted on that teacher. No teacher marks its own work here.
    """
    study, held = world.study, world.held()
    types = [name for name in study.types if _comparable(world, other, name)]
    codes = build_pool(
        world.generator, other, types, held.seeds, study.sampling, cache=study.folder / "teacher"
    ).codes  # fmt: skip
    target: dict[str, Any] = {}
    for name in types:
        kind, fitting, truth = world.kinds[name], world.fitting(0), codes[name].float()
        measures = measures_of(kind, baselines.mean_map(fitting.codes[name]))
        fits = [result for task, result in results.items() if task.row == Row(name)]
        made = predictions(world.generator, kind, "w+", fits[0].tensors, fitting, held)
        prediction = {OFFSET: [predict(world.generator, held, kind, "w+", fit.tensors) for fit in fits]}
        prediction |= {TEACHER: [held.codes[name].float()]} | {key: [made[key]()] for key in BESIDE_REFERENCE}
        target[name] = {}
        for predictor, maps in prediction.items():
            kept = [statistics(measures, one, truth) for one in maps]
            target[name][predictor] = {
                key: rounded(draw(measure, [one[key] for one in kept]).estimate()) for key, measure in measures.items()
            }
    return teacher_facts(other) | {"types": target}


def _comparable(world: World, other: Teacher, name: str) -> bool:
    classes = world.kinds[name].classes
    return name in other.types and (not classes or classes == tuple(other.classes))


def write(path: Path, what: str | Mapping[str, Any]) -> None:
    """Write a page, or a report as JSON, whole or not at all; its folder is made if it is missing."""
    text = what if isinstance(what, str) else _compact(json.dumps(what, indent=1, allow_nan=False)) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _compact(text: str) -> str:
    """JSON with each innermost object and list, such as an estimate, on one line."""
    for brackets in (r"\[[^\[\]{}]*\]", r"\{[^{}]*\}"):
        text = re.sub(brackets, lambda found: " ".join(found[0].split()), text)
    return text
