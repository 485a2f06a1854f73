"""Tasks: their results, resuming, and several processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_progress import RecordedProgress
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.trainer.measures.by_type import measures_of
from sgi.trainer.offsets.held_out_score import OFFSET, evaluate
from sgi.trainer.studies.evaluation import run_task as task_module
from sgi.trainer.studies.evaluation.context import StudyContext, open_context
from sgi.trainer.studies.evaluation.report_rows import PREDICTORS, figures_of
from sgi.trainer.studies.evaluation.run_task import SEED, permuted, random_weights, run_task
from sgi.trainer.studies.evaluation.run_tasks import estimate_seconds, run_tasks, unfinished
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task


def test_task_gives_the_figures_of_train(study):
    """The same fit, scored by `evaluate`."""
    task = Task(Row("albedo"), stream=1)
    result = run_task(study, task)
    context = StudyContext(study)
    kind, pools = context.kinds["albedo"], (context.fitting(1), context.held())
    rows = evaluate(context.generator, kind, "w+", result.tensors, *pools, seed=SEED)
    assert set(result.kept) == {OFFSET, *PREDICTORS}
    for predictor, row in rows.items():
        drawn = figures_of([result], predictor, kind)
        for name, figure in drawn.items():
            assert figure.value == pytest.approx(row[name], rel=1e-4, abs=CLOSED_FORM), (predictor, name)


def test_results_round_trip(study):
    task = Task(Row("depth"))
    result, again = run_task(study, task), TaskResult.load(study.result_path(task))
    assert again.seconds == result.seconds
    assert torch.equal(again.tensors["offset"], result.tensors["offset"])
    np.testing.assert_allclose(again.kept[OFFSET]["fvu"], result.kept[OFFSET]["fvu"], rtol=1e-6)


def test_finished_task_is_not_repeated(study, monkeypatch):
    task = Task(Row("depth"))
    run_task(study, task)
    monkeypatch.setattr(task_module, "fit", None)
    assert unfinished(study, [task]) == []
    run_task(study, task)
    with pytest.raises(TypeError):
        run_task(study, Task(Row("depth"), 1))


def test_interrupted_task_resumes(study, tmp_path):
    study = replace(study, steps=40)
    task, first, second = Task(Row("depth")), RecordedProgress(stop_at=("depth", 30)), RecordedProgress()
    with pytest.raises(KeyboardInterrupt):
        run_task(study, task, first)
    assert unfinished(study, [task]) == [task]
    cut = run_task(study, task, second)
    assert (first.done["depth"], second.counts["depth"]) == (30, [25, 5, 10])
    whole = run_task(replace(study, folder=tmp_path / "whole"), task)
    assert torch.equal(cut.tensors["offset"], whole.tensors["offset"])
    assert not list((study.folder / "fits").glob("*.pt"))


def test_control_is_fitted_to_the_changed_target(study):
    """Its constant map is the mean of the flipped pictures, and its best constant has an FVU of 1."""
    result = run_task(study, Task(Row("image", "vflip")))
    measures = measures_of(intrinsics.get("image"))
    constant = measures["fvu"].figure(result.kept["constant"]["fvu"].mean(axis=0))
    assert constant == pytest.approx(1, abs=1e-5)
    identity = figures_of([result], "identity", StudyContext(study).kinds["image"])["fvu"].value
    assert identity > 0.1
    plain = run_task(study, Task(Row("image", None)))
    assert figures_of([plain], "identity", StudyContext(study).kinds["image"])["fvu"].value < 1e-5


def test_other_rows_keep_the_offset_alone(study):
    prefix = run_task(study, Task(Row("depth", from_layer=3)))
    assert set(prefix.kept) == {OFFSET}
    assert prefix.tensors["offset"][:3].abs().max() == 0
    assert prefix.tensors["offset"][3:].abs().max() > 0
    lora = run_task(study, Task(Row("depth", space="lora")))
    assert set(lora.kept) == {OFFSET}
    assert not torch.equal(
        run_task(study, Task(Row("depth", random_weights=True))).tensors["offset"],
        run_task(study, Task(Row("depth"))).tensors["offset"],
    )


def test_random_weights_are_fixed_and_not_the_generators(generator):
    one, other = random_weights(generator), random_weights(generator)
    assert generator_sha256(one) == generator_sha256(other) != generator_sha256(generator)
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_permuted_rows_are_the_same_rows_elsewhere():
    tensors = {"offset": torch.arange(12.0).reshape(6, 2)}
    moved = permuted(tensors)["offset"]
    assert not torch.equal(moved, tensors["offset"])
    assert torch.equal(moved.sort(dim=0).values, tensors["offset"])


def test_given_offset_is_scored(study, generator, tmp_path):
    fitted = run_task(study, Task(Row("depth")))
    folder = tmp_path / "given"
    folder.mkdir()
    tensors = {key: tensor.numpy() for key, tensor in fitted.tensors.items()}
    Offset("depth", "w+", tensors, generator_sha256(generator)).save(folder / "depth.safetensors")
    study = replace(study, offsets=folder)
    given = run_task(study, Task(Row("depth", given="depth")))
    np.testing.assert_allclose(given.kept[OFFSET]["fvu"], fitted.kept[OFFSET]["fvu"], rtol=1e-5)


def test_key_depends_on_everything_that_the_result_does(study):
    task = Task(Row("depth"))
    keys = {study.key(task), study.key(Task(Row("depth"), 1)), study.key(Task(Row("depth", "hflip")))}
    keys |= {
        replace(study, **change).key(task)
        for change in ({"steps": 13}, {"images": 41}, {"holdout": 13}, {"teacher_sha256": "b"}, {"batch": 9})
    }
    assert len(keys) == 8
    assert replace(study, threads=2, types=("depth",)).key(task) == study.key(task)


def test_results_are_in_order_and_progress_counts_finished_tasks(study):
    tasks = [Task(Row("depth")), Task(Row("albedo"))]
    run_task(study, tasks[1])
    progress = RecordedProgress()
    results = run_tasks(study, tasks, 1, progress)
    assert list(results) == tasks
    assert progress.notes["fits"] == ["albedo", "depth"]
    assert progress.totals["fits"] == 2


def test_estimate_counts_unfinished_tasks(study):
    tasks = [Task(Row("depth")), Task(Row("albedo"))]
    context = StudyContext(study)
    assert estimate_seconds(context, tasks, 1) > 0
    run_tasks(study, tasks)
    assert estimate_seconds(context, tasks, 1) == 0


def test_error_of_a_task_stops_the_study(study):
    with pytest.raises(UserError, match="the loss is not finite"):
        run_tasks(replace(study, lr=1e30, steps=30), [Task(Row("depth"))])


def test_several_processes_give_the_same_results(study, monkeypatch, tmp_path):
    """Without the fixture's fake teacher, which other processes do not have."""
    monkeypatch.undo()
    open_context.cache_clear()
    study = replace(study, teacher="analytic:sobel", types=("edges",))
    tasks = [Task(Row("edges")), Task(Row("edges", "hflip")), Task(Row("edges"), 1)]
    run_task(study, tasks[1])
    progress = RecordedProgress()
    shared = run_tasks(study, tasks, 2, progress)
    assert progress.done["fits"] == 3
    alone = run_task(replace(study, folder=tmp_path / "alone"), tasks[2])
    assert torch.equal(shared[tasks[2]].tensors["offset"], alone.tensors["offset"])
