"""The truth and relighting studies of an evaluation: their offsets, settings, and figures in the report."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.job import pool_facts, sampling_of
from sgi.trainer.studies.evaluation import truth_and_lights
from sgi.trainer.studies.evaluation.context import StudyContext
from sgi.trainer.studies.evaluation.run_tasks import run_tasks
from sgi.trainer.studies.evaluation.tasks import Row, Task
from sgi.trainer.studies.evaluation.truth_and_lights import (
    LIGHTS,
    TRUTH,
    checked_variety,
    measure_sections,
    offsets_of,
    section_figures,
)
from sgi.trainer.studies.figures import FigureSet
from sgi.trainer.studies.relighting import directions as light
from sgi.trainer.studies.relighting.relit_maps import LightFigures

FIGURES = FigureSet(
    figures={"depth/offset/fvu": {"value": 0.1234567, "low": None, "high": 1.0}}, pictures={"a": b"png"}
)


@pytest.fixture
def measured(study, generator, tmp_path):
    """A context, and results with a fitted albedo and a given depth beside the fitted one."""
    given = tmp_path / "given"
    given.mkdir()
    tensors = {"offset": generator.mapping.w_avg.new_ones(1, 8).numpy()}
    Offset("depth", "w", tensors, generator_sha256(generator)).save(given / "mine.safetensors")
    study = replace(study, offsets=given, steps=2)
    tasks = [Task(Row("depth")), Task(Row("albedo")), Task(Row("depth", space="w", given="mine"))]
    return StudyContext(study), run_tasks(study, tasks)


def test_given_offsets_precede_fitted_ones(measured):
    context, results = measured
    depth, albedo = offsets_of(context, results)
    assert (depth.type, depth.space) == ("depth", "w")
    assert (albedo.type, albedo.space) == ("albedo", "w+")
    albedo.check_generator(context.study.generator_sha256, context.generator.config)
    assert sampling_of(albedo) == context.study.sampling
    assert pool_facts(albedo) == (40, 0)


def test_sections_are_measured_with_the_given_variety(measured, monkeypatch, tmp_path):
    context, results = measured
    varieties = {}
    for name in ("score_against_truth", "measure_relit_maps"):
        monkeypatch.setattr(
            truth_and_lights, name, lambda *args, name=name, variety, **more: varieties.update({name: variety})
        )
    monkeypatch.setattr(light, "load_directions", lambda path, config: path)
    assert measure_sections(context, results, None, None) == {}
    assert list(measure_sections(context, results, "rich", tmp_path)) == [TRUTH, LIGHTS]
    assert varieties == {"score_against_truth": "rich", "measure_relit_maps": "rich"}


def test_directions_are_searched_for_once(measured, monkeypatch):
    """Only for U-Net teachers; the teacher of these tests is a formula."""
    context, results = measured
    monkeypatch.setattr(truth_and_lights, "score_against_truth", lambda *args, **more: None)
    assert list(measure_sections(context, results, "calm", None)) == [TRUTH]
    searches, lights = [], torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(truth_and_lights, "UNetTeacher", type(context.teacher))

    def search(*args):
        searches.append(args)
        return lights

    monkeypatch.setattr(light, "find_directions", search)
    monkeypatch.setattr(
        truth_and_lights, "measure_relit_maps", lambda generator, teacher, offsets, directions, **more: directions
    )
    for _ in range(2):
        torch.testing.assert_close(measure_sections(context, results, "calm", None)[LIGHTS], lights)
    assert len(searches) == 1


def test_report_keeps_figures_without_pictures():
    kept = section_figures(LightFigures(3, 2, {}, FIGURES))
    assert kept["figures"] == {"depth/offset/fvu": {"value": 0.12346, "low": None, "high": 1.0}}
    assert "pictures" not in kept
    json.dumps(kept, allow_nan=False)


def test_variety_of_rooms_is_that_of_the_generators_training(tmp_path, generator):
    trained, other = tmp_path / "trained.safetensors", tmp_path / "other.safetensors"
    save_generator(trained, generator, {"training": {"variety": "rich"}})
    save_generator(other, generator)
    assert checked_variety(None, trained) == "rich"
    assert checked_variety(None, other) is None
    assert checked_variety("none", trained) is None
    assert checked_variety("calm", trained) == "calm"
    with pytest.raises(UserError, match="`rooms=messy`: choose from none, "):
        checked_variety("messy", trained)
