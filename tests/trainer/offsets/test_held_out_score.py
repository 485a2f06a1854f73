"""Scores against values computed by hand."""

from __future__ import annotations

import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.trainer.offsets.held_out_score import BASELINES, OFFSET, best_baseline, evaluate, predict, score_maps

ALBEDO, DEPTH, NORMAL = map(intrinsics.get, ("albedo", "depth", "normal"))


def test_figures_are_those_of_the_type():
    target = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    constant = target.mean(dim=0, keepdim=True)
    assert {"normal_mean_deg", "normal_median_deg"} < set(score_maps(NORMAL, target, target, constant))
    depth = score_maps(DEPTH, target[:, :1], target[:, :1], constant[:, :1])
    assert depth["depth_scale_shift_abs_rel"] == pytest.approx(0, abs=CLOSED_FORM)
    assert depth["fvu"] == depth["fvu_about_holdout"] == depth["fvu_high_pass"] == 0


def test_the_known_offset_is_better_than_every_baseline(generator, known_pools, known_offset):
    rows = evaluate(generator, DEPTH, "w+", known_offset, known_pools.fitting, known_pools.held)
    assert list(rows) == [OFFSET, *BASELINES]
    assert rows[OFFSET]["fvu"] < CLOSED_FORM
    assert rows["constant"]["fvu"] == 1
    assert rows["constant"]["fvu_about_holdout"] >= 1
    best = best_baseline(rows)
    assert all(rows[name]["fvu"] >= rows[best]["fvu"] for name in BASELINES)
    assert rows[best]["fvu"] > 0.1


def test_the_zero_offset_predicts_the_picture_itself(generator, known_pools, known_offset):
    zeros = {"offset": torch.zeros_like(known_offset["offset"])}
    prediction = predict(generator, known_pools.held, ALBEDO, "w+", zeros)
    torch.testing.assert_close(prediction, known_pools.held.images, rtol=0, atol=0)


def test_predictions_are_clamped(generator, known_pools):
    huge = {"offset": torch.full((6, 8), 200.0)}
    prediction = predict(generator, known_pools.held, ALBEDO, "w+", huge)
    assert prediction.min() >= 0
    assert prediction.max() <= 1
