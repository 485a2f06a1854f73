"""Tasks that find what they are told, resume, and run on several processes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.offsets import Offset
from sgi.trainer.measures.by_type import measures_of
from sgi.trainer.offsets.score import OFFSET, evaluate
from sgi.trainer.studies.evaluation import work
from sgi.trainer.studies.evaluation.study import estimate, run_tasks, unfinished
from sgi.trainer.studies.evaluation.summary import PREDICTORS, figures_of
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.work import Result, World, open_world, permuted, random_weights, run_task


def test_a_task_finds_what_train_would(study):
    """The same fit, scored by the other way to the figures."""
    task = Task(Row("albedo"), stream=1)
    result = run_task(study, task)
    world = World(study)
    rows = evaluate(
        world.generator, world.kinds["albedo"], "w+", result.tensors, world.fitting(1), world.held(), seed=work.SEED
    )
    assert set(result.kept) == {OFFSET, *PREDICTORS}
    for predictor, row in rows.items():
        told = figures_of([result], predictor, world.kinds["albedo"])
        for name, figure in told.items():
            assert figure.value == pytest.approx(row[name], rel=1e-4, abs=CLOSED_FORM), (predictor, name)


def test_results_survive_the_file(study):
    task = Task(Row("depth"))
    result, again = run_task(study, task), Result.load(study.result_path(task))
    assert again.seconds == result.seconds
    assert torch.equal(again.tensors["offset"], result.tensors["offset"])
    np.testing.assert_allclose(again.kept[OFFSET]["fvu"], result.kept[OFFSET]["fvu"], rtol=1e-6)


def test_a_finished_task_is_not_done_again(study, monkeypatch):
    task = Task(Row("depth"))
    run_task(study, task)
    monkeypatch.setattr(work, "fit", None)
    assert unfinished(study, [task]) == []
    run_task(study, task)
    with pytest.raises(TypeError):
        run_task(study, Task(Row("depth"), 1))


def test_an_interrupted_task_continues(study, tmp_path):
    study = replace(study, steps=40)
    task, steps = Task(Row("depth")), []

    def die(done, loss):
        steps.append(done)
        if done == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_task(study, task, die)
    assert unfinished(study, [task]) == [task]
    cut = run_task(study, task, lambda done, loss: steps.append(done))
    assert steps == [0, 10, 20, 30, 25, 30, 40]
    whole = run_task(replace(study, folder=tmp_path / "whole"), task)
    assert torch.equal(cut.tensors["offset"], whole.tensors["offset"])
    assert not list((study.folder / "fits").glob("*.pt"))


def test_a_control_is_fitted_to_the_changed_target(study):
    """Its constant map is the mean of the flipped pictures, and its best constant has an FVU of 1."""
    result = run_task(study, Task(Row("image", "vflip")))
    measures = measures_of(intrinsics.get("image"))
    constant = measures["fvu"].figure(result.kept["constant"]["fvu"].mean(axis=0))
    assert constant == pytest.approx(1, abs=1e-5)
    identity = figures_of([result], "identity", World(study).kinds["image"])["fvu"].value
    assert identity > 0.1
    plain = run_task(study, Task(Row("image", None)))
    assert figures_of([plain], "identity", World(study).kinds["image"])["fvu"].value < 1e-5


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


def test_random_weights_are_the_same_every_time_and_not_the_generators(generator):
    one, other = random_weights(generator), random_weights(generator)
    assert generator_sha256(one) == generator_sha256(other) != generator_sha256(generator)
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_permuted_rows_are_the_same_rows_elsewhere():
    tensors = {"offset": torch.arange(12.0).reshape(6, 2)}
    moved = permuted(tensors)["offset"]
    assert not torch.equal(moved, tensors["offset"])
    assert torch.equal(moved.sort(dim=0).values, tensors["offset"])


def test_a_given_offset_is_scored(study, generator, tmp_path):
    fitted = run_task(study, Task(Row("depth")))
    folder = tmp_path / "given"
    folder.mkdir()
    tensors = {key: tensor.numpy() for key, tensor in fitted.tensors.items()}
    Offset("depth", "w+", tensors, generator_sha256(generator)).save(folder / "depth.safetensors")
    study = replace(study, offsets=folder)
    given = run_task(study, Task(Row("depth", given="depth")))
    np.testing.assert_allclose(given.kept[OFFSET]["fvu"], fitted.kept[OFFSET]["fvu"], rtol=1e-5)


def test_everything_that_matters_is_in_the_key(study):
    task = Task(Row("depth"))
    keys = {study.key(task), study.key(Task(Row("depth"), 1)), study.key(Task(Row("depth", "hflip")))}
    keys |= {
        replace(study, **change).key(task)
        for change in ({"steps": 13}, {"images": 41}, {"holdout": 13}, {"teacher_sha256": "b"}, {"batch": 9})
    }
    assert len(keys) == 8
    assert replace(study, threads=2, types=("depth",)).key(task) == study.key(task)


def test_tasks_come_back_in_order_and_are_announced(study):
    tasks = [Task(Row("depth")), Task(Row("albedo"))]
    run_task(study, tasks[1])
    heard = []
    results = run_tasks(study, tasks, 1, heard.append)
    assert list(results) == tasks
    assert heard == [tasks[1], tasks[0]]


def test_an_estimate_counts_what_is_left(study):
    tasks = [Task(Row("depth")), Task(Row("albedo"))]
    world = World(study)
    assert estimate(world, tasks, 1) > 0
    run_tasks(study, tasks)
    assert estimate(world, tasks, 1) == 0


def test_what_a_task_refuses_stops_the_study(study):
    with pytest.raises(UserError, match="the loss is not finite"):
        run_tasks(replace(study, lr=1e30, steps=30), [Task(Row("depth"))])


def test_several_processes_find_the_same(study, monkeypatch, tmp_path):
    """Without the fixture's fake teacher, which other processes do not have."""
    monkeypatch.undo()
    open_world.cache_clear()
    study = replace(study, teacher="analytic:sobel", types=("edges",))
    tasks = [Task(Row("edges")), Task(Row("edges", "hflip")), Task(Row("edges"), 1)]
    run_task(study, tasks[1])
    heard = []
    shared = run_tasks(study, tasks, 2, heard.append)
    assert set(heard) == set(tasks)
    alone = run_task(replace(study, folder=tmp_path / "alone"), tasks[2])
    assert torch.equal(shared[tasks[2]].tensors["offset"], alone.tensors["offset"])
