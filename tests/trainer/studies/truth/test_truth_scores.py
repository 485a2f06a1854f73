"""Scores against exact maps: every row, and figures that follow from known maps."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from figure_values import number
from PIL import Image
from recorded_progress import RecordedProgress
from sheet_colours import has_depth_colours

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.intrinsics import decode, get
from sgi.engine.offsets import Offset
from sgi.trainer.scenes import CALM, CLASSES, render, sample_rooms
from sgi.trainer.studies.truth.exact_codes import exact_codes, is_exact
from sgi.trainer.studies.truth.latent_search import SearchSettings
from sgi.trainer.studies.truth.truth_scores import ROWS, SEED, score_against_truth

QUICK = SearchSettings(steps=5, candidates=16)


@pytest.fixture
def offsets(generator, known_offset):
    array = known_offset["offset"].numpy()
    return [Offset(name, "w+", {"offset": array}, generator_sha256(generator)) for name in ("depth", "albedo")]


def test_teacher_rows_use_the_render_and_the_reconstruction(generator, teacher, offsets, monkeypatch):
    maps = render(sample_rooms(3, torch.Generator().manual_seed(SEED), variety=CALM), generator.config.resolution)

    def predict(self, image, types):
        seen = torch.equal(image, maps.image * 2 - 1)
        return {name: maps.codes(name) * seen for name in types}

    monkeypatch.setattr(type(teacher), "__call__", predict)
    progress = RecordedProgress()
    report = score_against_truth(generator, teacher, offsets, rooms=3, search=QUICK, progress=progress)
    found = report.figures.figures
    assert progress.done["inversion"] == progress.totals["inversion"] == 3 * QUICK.steps
    assert found["depth/teacher_on_render/fvu"]["value"] == 0
    assert found["depth/constant/fvu"]["value"] == 1
    assert number(found["depth/teacher_on_reconstruction/fvu"]) > 1


def test_rows_and_pictures_are_all_there(generator, teacher, offsets):
    report = score_against_truth(generator, teacher, offsets, rooms=3, search=QUICK)
    found = report.to_dict()
    for name in ("depth", "albedo"):
        for row in ROWS:
            figure = found["figures"][f"{name}/{row}/fvu"]
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert 0 < found["figures"]["inversion/psnr"]["value"] < 40
    assert set(found["titles"]) == {key.rsplit("/")[-1] for key in found["figures"]}
    (picture,) = report.figures.pictures.values()
    assert np.asarray(Image.open(io.BytesIO(picture))).std() > 10
    assert has_depth_colours(picture)
    assert json.loads(json.dumps(found))["left_out"] == []


def test_type_that_the_teacher_does_not_predict_has_fewer_rows(generator, teacher, offsets, monkeypatch):
    monkeypatch.setattr(type(teacher), "types", ("albedo",))
    found = score_against_truth(generator, teacher, offsets, rooms=2, search=QUICK).to_dict()
    rows = {key.split("/")[1] for key in found["figures"] if key.startswith("depth/")}
    assert rows == {"offset", "constant"}


def test_refuses_types_without_exact_maps_and_mixed_sampling(generator, teacher, offsets):
    offsets[1].psi = 0.7
    with pytest.raises(UserError, match="depth and albedo were fitted under another psi"):
        score_against_truth(generator, teacher, offsets, rooms=2, search=QUICK)
    edges = Offset("edges", "w+", offsets[0].tensors, generator_sha256(generator))
    with pytest.raises(UserError, match="rooms have exact maps of depth, normal"):
        score_against_truth(generator, teacher, [edges], rooms=2, search=QUICK)


def test_segmentation_and_masks_have_exact_maps(generator, teacher, offsets):
    maps = render(sample_rooms(2, torch.Generator().manual_seed(0), variety=CALM), 16)
    inside = maps.segmentation == CLASSES.index("wall")
    assert torch.equal(exact_codes(maps, get("mask-wall"))[:, 0], inside.float())
    segmentation = get("segmentation").with_classes(CLASSES)
    assert (decode(segmentation, exact_codes(maps, segmentation).numpy())[:, 0] == maps.segmentation.numpy()).all()
    assert not is_exact(get("segmentation").with_classes(("floor", "wall")))
    assert not is_exact(get("mask-cat"))
    wall = Offset("mask-wall", "w+", offsets[0].tensors, generator_sha256(generator))
    found = score_against_truth(generator, teacher, [wall], rooms=2, search=QUICK).figures.figures
    assert number(found["mask-wall/constant/mask-wall_iou"]) > 0
