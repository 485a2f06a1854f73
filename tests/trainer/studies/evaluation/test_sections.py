"""What other measurements are given and what the report keeps of them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.job import pool_facts, sampling_of
from sgi.trainer.studies import relighting, truth
from sgi.trainer.studies.evaluation import sections
from sgi.trainer.studies.evaluation.study import run_tasks
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.work import World

FOUND = {"figures": {"depth/offset/fvu": {"value": 0.1234567, "low": None, "high": 1.0}}, "pictures": {"a": b"png"}}


@pytest.fixture
def measured(study, generator, tmp_path):
    """A world, and results with a fitted albedo and a given depth beside the fitted one."""
    given = tmp_path / "given"
    given.mkdir()
    tensors = {"offset": generator.mapping.w_avg.new_ones(1, 8).numpy()}
    Offset("depth", "w", tensors, generator_sha256(generator)).save(given / "mine.safetensors")
    study = replace(study, offsets=given, steps=2)
    tasks = [Task(Row("depth")), Task(Row("albedo")), Task(Row("depth", space="w", given="mine"))]
    return World(study), run_tasks(study, tasks)


def test_given_offsets_go_before_fitted_ones(measured):
    world, results = measured
    depth, albedo = sections.offsets_of(world, results)
    assert (depth.type, depth.space) == ("depth", "w")
    assert (albedo.type, albedo.space) == ("albedo", "w+")
    albedo.check_generator(world.study.generator_sha256, world.generator.config)
    assert sampling_of(albedo) == world.study.sampling
    assert pool_facts(albedo) == (40, 0)


def test_measurements_are_asked_for_what_there_is(measured, monkeypatch, tmp_path):
    world, results = measured
    asked = {}
    for module in (truth, relighting):
        name = module.__name__.rsplit(".", 1)[1]
        monkeypatch.setattr(module, "measure", lambda *args, name=name, **more: asked.update({name: more}) or FOUND)
    monkeypatch.setattr(relighting, "load_directions", lambda path, config: path)
    assert sections.measure(world, results, None, None) == {}
    both = sections.measure(world, results, "rich", tmp_path)
    assert list(both) == ["Against the renderer's truth", "Under other lights"]
    assert {name: more["variety"] for name, more in asked.items()} == {"truth": "rich", "relighting": "rich"}


def test_lights_are_looked_for_once(measured, monkeypatch):
    """Where a native teacher tells of light; the teacher of these tests is a formula."""
    world, results = measured
    monkeypatch.setattr(truth, "measure", lambda *args, **more: FOUND)
    assert list(sections.measure(world, results, "calm", None)) == ["Against the renderer's truth"]
    searches, lights = [], torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(sections, "UNetTeacher", type(world.teacher))
    monkeypatch.setattr(relighting, "find", lambda *args: searches.append(args) or lights)
    monkeypatch.setattr(relighting, "measure", lambda generator, teacher, offsets, found, **more: {"lights": found})
    for _ in range(2):
        found = sections.measure(world, results, "calm", None)["Under other lights"]["lights"]
        torch.testing.assert_close(found, lights)
    assert len(searches) == 1


def test_the_report_keeps_figures(measured):
    kept = sections.figures_only(FOUND)
    assert kept == {"figures": {"depth/offset/fvu": {"value": 0.12346, "low": None, "high": 1.0}}}
    json.dumps(kept, allow_nan=False)


def test_rooms_are_those_of_the_generators_training(tmp_path, generator):
    trained, other = tmp_path / "trained.safetensors", tmp_path / "other.safetensors"
    save_generator(trained, generator, {"training": {"variety": "rich"}})
    save_generator(other, generator)
    assert sections.checked_variety(None, trained) == "rich"
    assert sections.checked_variety(None, other) is None
    assert sections.checked_variety("none", trained) is None
    assert sections.checked_variety("calm", trained) == "calm"
    with pytest.raises(UserError, match="variety=messy"):
        sections.checked_variety("messy", trained)
