"""Spreads of maps over lights, of known maps and of the study, with its checks."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from figure_values import interval, number
from PIL import Image
from sheet_colours import has_depth_colours
from tolerances import CLOSED_FORM, OPTIMISED

from sgi.engine import intrinsics
from sgi.trainer.measures.by_type import figures, statistics
from sgi.trainer.studies.relighting.relit_maps import ROWS, measure_relit_maps
from sgi.trainer.studies.relighting.spread import spread_measures


def spread(name, maps):
    by = spread_measures(intrinsics.get(name))
    return figures(by, statistics(by, maps, maps))


def test_spread_of_two_lights_is_their_distance_from_the_mean():
    scenes = torch.tensor([0.3, 0.7])[:, None, None, None, None]
    lights = torch.tensor([0.1, -0.1])[None, :, None, None, None]
    maps = (scenes + lights).expand(2, 2, 1, 4, 4)
    found = spread("depth", maps)
    assert found["spread"] == pytest.approx(0.1, rel=CLOSED_FORM)
    assert found["relative_spread"] == pytest.approx(0.01 / 0.04, rel=CLOSED_FORM)
    assert spread("depth", scenes.expand(2, 3, 1, 4, 4))["spread"] == pytest.approx(0, abs=CLOSED_FORM)


def test_normals_spread_in_degrees():
    angle = torch.deg2rad(torch.tensor([20.0, -20.0]))
    normals = torch.stack([angle.sin(), torch.zeros(2), angle.cos()], dim=1)[None, :, :, None, None]
    maps = (normals * 0.5 + 0.5).expand(3, 2, 3, 4, 4)
    assert spread("normal", maps)["spread"] == pytest.approx(20, rel=CLOSED_FORM)


def test_figures_pictures_and_checks(generator, light_teacher, offsets, directions):
    measured = measure_relit_maps(generator, light_teacher, offsets, directions, scenes=4)
    figures = measured.figures.figures
    for name in ("depth", "albedo"):
        for row in ("offset", "teacher_on_relit", "teacher_on_renders"):
            figure = figures[f"{name}/{row}/spread"]
            low, value, high = interval(figure)
            assert low <= value <= high
    assert number(figures["image/directions/spread"]) > 0
    # One room under several lights, not several rooms: they differ less than rooms do.
    assert number(figures["image/renders/relative_spread"], "high") < 1
    ratio = number(figures["shading/teacher_on_relit/spread"]) / number(figures["shading/teacher_on_renders/spread"])
    assert measured.checks["shading_ratio"] == ratio
    assert {key.split("/")[1] for key in figures} == set(ROWS)
    assert has_depth_colours(measured.figures.pictures["Maps of one scene under every light"])
    for picture in measured.figures.pictures.values():
        assert np.asarray(Image.open(io.BytesIO(picture))).std() > 10
    assert json.loads(json.dumps(measured.to_dict()))["lights"] == 3


def test_zero_directions_give_no_spread(generator, light_teacher, offsets, directions):
    measured = measure_relit_maps(generator, light_teacher, offsets, torch.zeros_like(directions), scenes=3)
    found = measured.to_dict()
    assert found["figures"]["albedo/offset/spread"]["value"] == pytest.approx(0, abs=CLOSED_FORM)
    assert found["checks"]["shading_ratio"] == pytest.approx(0, abs=CLOSED_FORM)
    before, after = (
        found["figures"][f"albedo/{row}/fvu"]["value"]
        for row in ("offset_against_teacher_before", "offset_against_teacher")
    )
    assert before == pytest.approx(after, rel=OPTIMISED)
