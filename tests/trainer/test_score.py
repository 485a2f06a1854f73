"""Scores worked out by hand."""

from __future__ import annotations

import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine.errors import UserError
from sgi.trainer.score import BASELINES, OFFSET, best_baseline, evaluate, fvu, high_pass, score_maps, show


def test_fvu_of_hand_made_maps():
    told = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    constant = torch.full((1, 1, 1, 1), 0.5)
    assert fvu(told, told, constant) == 0
    assert fvu(constant.expand_as(told), told, constant) == 1
    assert fvu(torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1), told, constant) == 0.25
    assert fvu(1 - told, told, constant) == 4


def test_fvu_refuses_maps_that_do_not_vary():
    same = torch.full((3, 1, 4, 4), 0.3)
    with pytest.raises(UserError, match="same map"):
        fvu(same, same, same[:1])


def test_high_pass_takes_the_box_mean_away():
    maps = torch.zeros(1, 1, 20, 20)
    maps[0, 0, 10, 10] = 81
    passed = high_pass(maps)[0, 0]
    assert passed[10, 10].item() == pytest.approx(80)
    assert passed[6, 14].item() == pytest.approx(-1)
    assert passed[5, 10].item() == 0


def test_high_pass_of_a_flat_map_is_nothing_up_to_the_border():
    assert high_pass(torch.full((1, 2, 12, 12), 0.7)).abs().max().item() < CLOSED_FORM


def test_high_pass_fvu_ignores_what_is_smooth():
    noise = torch.Generator().manual_seed(0)
    ramps = torch.rand(8, 1, 1, 1, generator=noise).expand(8, 1, 16, 16)
    fine = (torch.rand(8, 1, 16, 16, generator=noise) > 0.5) * 0.1
    told = ramps * 0.8 + fine
    row = score_maps("albedo", ramps * 0.8 + 0.05, told, told.mean(dim=0, keepdim=True))
    assert row["fvu"] < 0.1
    assert row["fvu_high_pass"] == pytest.approx(1, abs=0.25)
    assert row["albedo_rmse"] == pytest.approx(0.05, abs=1e-3)


def test_figures_follow_the_type():
    told = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    constant = told.mean(dim=0, keepdim=True)
    assert {"normal_mean_deg", "normal_median_deg"} < set(score_maps("normal", told, told, constant))
    depth = score_maps("depth", told[:, :1], told[:, :1], constant[:, :1])
    assert depth["depth_scale_shift_abs_rel"] == pytest.approx(0, abs=CLOSED_FORM)
    assert depth["fvu"] == depth["fvu_about_holdout"] == depth["fvu_high_pass"] == 0


def test_the_known_offset_beats_every_row(generator, known_pools, known_offset):
    rows = evaluate(generator, "depth", "w+", known_offset, known_pools.fitting, known_pools.held)
    assert list(rows) == [OFFSET, *BASELINES]
    assert rows[OFFSET]["fvu"] < CLOSED_FORM
    assert rows["constant"]["fvu"] == 1
    assert rows["constant"]["fvu_about_holdout"] >= 1
    best = best_baseline(rows)
    assert all(rows[name]["fvu"] >= rows[best]["fvu"] for name in BASELINES)
    assert rows[best]["fvu"] > 0.1


def test_identity_shows_the_picture_itself(generator, known_pools, known_offset):
    zeros = {"offset": torch.zeros_like(known_offset["offset"])}
    shown = show(generator, known_pools.held, "albedo", "w+", zeros)
    torch.testing.assert_close(shown, known_pools.held.images, rtol=0, atol=0)


def test_what_is_shown_is_clamped(generator, known_pools):
    huge = {"offset": torch.full((6, 8), 200.0)}
    shown = show(generator, known_pools.held, "albedo", "w+", huge)
    assert shown.min() >= 0
    assert shown.max() <= 1
