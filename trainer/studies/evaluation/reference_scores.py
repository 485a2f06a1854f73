"""Scores against a teacher that the offsets were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sgi.trainer.measures.bootstrap import draw
from sgi.trainer.measures.by_type import measures_of, statistics
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.held_out_score import OFFSET, predict, predictions
from sgi.trainer.offsets.pool import build_pool
from sgi.trainer.studies.evaluation.context import CACHE, StudyContext
from sgi.trainer.studies.evaluation.model_facts import teacher_facts
from sgi.trainer.studies.evaluation.reconstruction import TEACHER
from sgi.trainer.studies.evaluation.report_rows import rounded
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.teachers import Teacher

REFERENCE_BASELINES = ("constant", "pixel_affine", "ridge")


def reference_scores(context: StudyContext, results: Mapping[Task, TaskResult], other: Teacher) -> dict[str, Any]:
    """Offsets fitted to the study's teacher, scored against another: {name, sha256, parameters, types}.

    types: {type: {predictor: {measure: estimate}}} of the types that both teachers predict. The predictors are the
    offset, the study's teacher, and REFERENCE_BASELINES fitted to that teacher: none of them was fitted to `other`.
    """
    study, held = context.study, context.held()
    types = [name for name in study.types if _comparable(context, other, name)]
    cache = study.folder / CACHE
    codes = build_pool(context.generator, other, types, held.seeds, study.sampling, cache=cache).codes
    scores: dict[str, Any] = {}
    for name in types:
        kind, fitting, target = context.kinds[name], context.fitting(0), codes[name].float()
        measures = measures_of(kind, baselines.mean_map(fitting.codes[name]))
        fits = [result for task, result in results.items() if task.row == Row(name)]
        made = predictions(context.generator, kind, "w+", fits[0].tensors, fitting, held)
        maps_of = {OFFSET: [predict(context.generator, held, kind, "w+", fit.tensors) for fit in fits]}
        maps_of |= {TEACHER: [held.codes[name].float()]} | {key: [made[key]()] for key in REFERENCE_BASELINES}
        scores[name] = {}
        for predictor, maps in maps_of.items():
            kept = [statistics(measures, one, target) for one in maps]
            scores[name][predictor] = {
                key: rounded(draw(measure, [one[key] for one in kept]).estimate()) for key, measure in measures.items()
            }
    return teacher_facts(other) | {"types": scores}


def _comparable(context: StudyContext, other: Teacher, name: str) -> bool:
    classes = context.kinds[name].classes
    return name in other.types and (not classes or classes == tuple(other.classes))
