"""The error of albedo times shading against the picture, for offsets and teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sgi.engine.decoding import srgb_encode
from sgi.trainer.measures.bootstrap import draw
from sgi.trainer.measures.by_type import Measure, linear
from sgi.trainer.measures.metrics import squared_error
from sgi.trainer.offsets.held_out_score import OFFSET, predict
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.report_rows import rounded
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task

TEACHER = "teacher"

_RMSE = Measure(
    "RMSE", lambda prediction, target: squared_error(prediction, target)[:, None], lambda mean: mean[..., 0] ** 0.5
)


def reconstruction(context: StudyContext, results: Mapping[Task, TaskResult]) -> dict[str, Any]:
    """RMSE in sRGB codes of albedo times shading against the picture: {"offset": estimate, "teacher": estimate}.

    The offsets of one stream are multiplied with each other. Empty unless the study has both types.
    """
    pairs = [[results.get(Task(Row(name), stream)) for name in ("albedo", "shading")] for stream in range(len(results))]
    fitted = [(albedo, shading) for albedo, shading in pairs if albedo and shading]
    if not fitted:
        return {}
    held, kinds = context.held(), context.kinds

    def kept(albedo: Tensor, shading: Tensor) -> Any:
        light = linear(kinds["albedo"], albedo.float()) * linear(kinds["shading"], shading.float())
        product = torch.from_numpy(srgb_encode(light.clamp(0, 1).numpy()))
        return _RMSE.statistics(product, held.images.float()).numpy()

    def prediction(name: str, fit: TaskResult) -> Tensor:
        return predict(context.generator, held, kinds[name], "w+", fit.tensors)

    of_offsets = [kept(prediction("albedo", albedo), prediction("shading", shading)) for albedo, shading in fitted]
    return {
        OFFSET: rounded(draw(_RMSE, of_offsets).estimate()),
        TEACHER: rounded(draw(_RMSE, [kept(held.codes["albedo"], held.codes["shading"])]).estimate()),
    }
