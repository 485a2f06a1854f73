"""Preconditioned coordinates: equal steps change the codes equally, and preconditioning keeps the offset."""

from __future__ import annotations

import pytest
import torch
from tolerances import CURVATURE

from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.offsets.parameters import Parameters
from sgi.trainer.offsets.preconditioner import estimate, is_due

PICTURES, ROWS, WIDTH, CODES = 5, 2, 4, 64


@pytest.fixture
def linear():
    """(predict, A): the codes of picture i are A_i d for rows d; directions differ 100-fold in their effect."""
    draw = torch.Generator().manual_seed(0)
    matrices = torch.randn(PICTURES, CODES, ROWS, WIDTH, generator=draw) * torch.tensor([10.0, 1.0, 0.3, 0.1])
    # The rows affect different codes, so the block-diagonal curvature is exact.
    matrices[:, : CODES // 2, 0] = 0
    matrices[:, CODES // 2 :, 1] = 0

    def predict(tensors, index):
        return torch.einsum("icrk,rk->ic", matrices[index], tensors["d"])[:, None, None]

    return predict, matrices


def test_equal_steps_change_the_codes_equally(linear, monkeypatch):
    monkeypatch.setattr(preconditioner, "PROBES", 4000)
    monkeypatch.setattr(preconditioner, "DAMPING", 1e-6)
    predict, _ = linear
    found = estimate(predict, {"d": torch.ones(ROWS, WIDTH)}, PICTURES, seed=1)
    every = torch.arange(PICTURES)
    start = predict({"d": torch.ones(ROWS, WIDTH)}, every)
    for row in range(ROWS):
        for axis in range(WIDTH):
            y = torch.zeros(ROWS, WIDTH)
            y[row, axis] = 1
            change = (predict(found.leaves({"d": y}), every) - start).square().mean().sqrt().item()
            assert change == pytest.approx(1, rel=CURVATURE)


def test_roots_are_finite_for_directions_without_effect():
    found = estimate(lambda tensors, index: tensors["d"][None, None, :1] * 2, {"d": torch.zeros(3)}, 1, seed=0)
    assert found.roots["d"].shape == (1, 3, 3)
    assert torch.isfinite(found.roots["d"]).all()


def test_preconditioning_keeps_the_offset_and_changes_the_step(linear):
    predict, _ = linear
    leaves = {"d": torch.ones(ROWS, WIDTH)}
    descent = Descent(Parameters(leaves, {"d": 1.0}, lambda moved: {"offset": moved["d"] * 3}, {}), 0.1, 0.2)
    descent.step(descent.tensors()["offset"].sum(), 1.0)
    before = descent.tensors()["offset"].detach()
    torch.testing.assert_close(before, torch.full((ROWS, WIDTH), 2.7))
    descent.precondition(lambda tensors, index: predict({"d": tensors["offset"]}, index), PICTURES, seed=0)
    after = descent.tensors()["offset"].detach()
    assert torch.equal(before, after)
    descent.step(descent.tensors()["offset"][:, 0].sum(), 1.0)
    moved = (descent.tensors()["offset"] - after).detach()
    # The first entry has the largest effect, so it changes by less than the 0.6 of a step of 0.2 in raw units.
    assert 0 < moved[:, 0].abs().max() < 0.1


@pytest.mark.parametrize("shape", [(ROWS, WIDTH), (WIDTH,)])
def test_coarse_rows_are_frozen_until_preconditioning(shape):
    parameters = Parameters({"d": torch.ones(shape)}, {"d": 1.0}, dict, {"d": 1})
    descent = Descent(parameters, 0.1, 0.2, freeze_coarse=True)
    descent.step(descent.tensors()["d"].sum(), 1.0)
    rows = descent.tensors()["d"].detach().view(-1, WIDTH)
    assert torch.equal(rows[0], torch.ones(WIDTH))
    torch.testing.assert_close(rows[1:], torch.full_like(rows[1:], 0.9))
    descent.precondition(lambda tensors, index: tensors["d"].reshape(1, 1, 1, -1), 1, seed=0)
    descent.step(descent.tensors()["d"].sum(), 1.0)
    assert (descent.tensors()["d"].detach().view(-1, WIDTH)[0] < 1).all()


def test_a_preconditioner_is_due_only_while_enough_steps_remain():
    assert [step for step in range(3000) if is_due(step, 3000)] == [200, 600, 1800]
    assert [step for step in range(800) if is_due(step, 800)] == [200]
    assert not any(is_due(step, 200) for step in range(200))
