"""The truth section: every row where it belongs, and figures that follow from known maps."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.intrinsics import decode, get
from sgi.engine.offsets import Offset
from sgi.trainer.scenes import CALM, CLASSES, render, sample_rooms
from sgi.trainer.studies.truth import InversionSettings, measure
from sgi.trainer.studies.truth.exact import exact_codes, is_exact
from sgi.trainer.studies.truth.measure import ROWS, SEED

QUICK = InversionSettings(steps=5, candidates=16)


@pytest.fixture
def offsets(generator, known_offset):
    array = known_offset["offset"].numpy()
    return [Offset(name, "w+", {"offset": array}, generator_sha256(generator)) for name in ("depth", "albedo")]


def test_the_teacher_sees_the_render_in_one_row_and_the_reconstruction_in_the_other(
    generator, teacher, offsets, monkeypatch
):
    maps = render(sample_rooms(3, torch.Generator().manual_seed(SEED), variety=CALM), generator.config.resolution)

    def tell(self, image, types):
        seen = torch.equal(image, maps.image * 2 - 1)
        return {name: maps.codes(name) * seen for name in types}

    monkeypatch.setattr(type(teacher), "__call__", tell)
    steps = []
    found = measure(generator, teacher, offsets, rooms=3, settings=QUICK, on_step=steps.append)["figures"]
    assert sum(steps) == 3 * QUICK.steps
    assert found["depth/teacher_on_render/fvu"]["value"] == 0
    assert found["depth/constant/fvu"]["value"] == 1
    assert found["depth/teacher_on_reconstruction/fvu"]["value"] > 1


def test_rows_and_pictures_are_all_there(generator, teacher, offsets):
    found = measure(generator, teacher, offsets, rooms=3, settings=QUICK)
    for name in ("depth", "albedo"):
        for row in ROWS:
            figure = found["figures"][f"{name}/{row}/fvu"]
            assert figure["low"] <= figure["value"] <= figure["high"]
    assert 0 < found["figures"]["inversion/psnr"]["value"] < 40
    assert set(found["titles"]) == {key.rsplit("/")[-1] for key in found["figures"]}
    (picture,) = found.pop("pictures").values()
    assert np.asarray(Image.open(io.BytesIO(picture))).std() > 10
    assert json.loads(json.dumps(found))["left_out"] == []


def test_a_type_the_teacher_cannot_tell_has_fewer_rows(generator, teacher, offsets, monkeypatch):
    monkeypatch.setattr(type(teacher), "types", ("albedo",))
    found = measure(generator, teacher, offsets, rooms=2, settings=QUICK)
    rows = {key.split("/")[1] for key in found["figures"] if key.startswith("depth/")}
    assert rows == {"offset", "constant"}


def test_refuses_what_has_no_truth_and_mixed_sampling(generator, teacher, offsets):
    offsets[1].psi = 0.7
    with pytest.raises(UserError, match="depth and albedo were fitted under another psi"):
        measure(generator, teacher, offsets, rooms=2, settings=QUICK)
    edges = Offset("edges", "w+", offsets[0].tensors, generator_sha256(generator))
    with pytest.raises(UserError, match="rooms have exact maps of depth, normal"):
        measure(generator, teacher, [edges], rooms=2, settings=QUICK)


def test_classes_of_pixels_are_exact_too(generator, teacher, offsets):
    maps = render(sample_rooms(2, torch.Generator().manual_seed(0), variety=CALM), 16)
    inside = maps.segmentation == CLASSES.index("wall")
    assert torch.equal(exact_codes(maps, get("mask-wall"))[:, 0], inside.float())
    segmentation = get("segmentation").with_classes(CLASSES)
    assert (decode(segmentation, exact_codes(maps, segmentation).numpy())[:, 0] == maps.segmentation.numpy()).all()
    assert not is_exact(get("segmentation").with_classes(("floor", "wall")))
    assert not is_exact(get("mask-cat"))
    wall = Offset("mask-wall", "w+", offsets[0].tensors, generator_sha256(generator))
    found = measure(generator, teacher, [wall], rooms=2, settings=QUICK)["figures"]
    assert found["mask-wall/constant/mask-wall_iou"]["value"] > 0
