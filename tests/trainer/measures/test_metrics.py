"""Formulas against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.trainer.measures import metrics


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def test_squared_error_is_per_picture():
    predicted, truth = torch.zeros(2, 1, 1, 2), torch.tensor([[0.3, 0.1], [1.0, 0.0]]).reshape(2, 1, 1, 2)
    assert metrics.squared_error(predicted, truth).tolist() == pytest.approx([0.05, 0.5])


def test_high_pass_subtracts_the_box_mean():
    maps = torch.zeros(1, 1, 20, 20)
    maps[0, 0, 10, 10] = 81
    passed = metrics.high_pass(maps)[0, 0]
    assert passed[10, 10].item() == pytest.approx(80)
    assert passed[6, 14].item() == pytest.approx(-1)
    assert passed[5, 10].item() == 0


def test_high_pass_of_a_flat_map_is_zero_up_to_the_border():
    assert metrics.high_pass(torch.full((1, 2, 12, 12), 0.7)).abs().max().item() < CLOSED_FORM


def test_scale_shift_undoes_scale_and_shift_of_each_picture():
    truth = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    scale, shift = torch.tensor([2.0, -0.5, 0.1]).view(3, 1, 1, 1), torch.tensor([0.1, 0.2, -3.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(metrics.scale_shift(truth * scale + shift, truth), truth)


def test_scale_shift_by_hand():
    """Least squares line through (0, 0), (1, 1), (2, 1): slope 1/2, intercept 1/6."""
    aligned = metrics.scale_shift(row(0.0, 1.0, 2.0), row(0.0, 1.0, 1.0))
    torch.testing.assert_close(aligned, row(1 / 6, 4 / 6, 7 / 6))


def test_scale_shift_of_a_flat_prediction_is_the_mean():
    torch.testing.assert_close(metrics.scale_shift(row(0.7, 0.7, 0.7), row(0.0, 1.0, 2.0)), row(1.0, 1.0, 1.0))


def test_absolute_relative():
    assert metrics.absolute_relative(row(0.3, 0.5), row(0.2, 1.0)).flatten().tolist() == pytest.approx([0.5, 0.5])
    floor = metrics.DEPTH_FLOOR
    assert metrics.absolute_relative(row(floor / 2), row(0.0)).item() == pytest.approx(0.5)


def test_within_ratio():
    near = metrics.within_ratio(row(0.2, 0.2, 0.3, 0.0), row(0.24, 0.26, 0.24, metrics.DEPTH_FLOOR))
    assert near.flatten().tolist() == [1, 0, 0, 1]


def test_angles():
    def codes(*vectors: tuple[float, float, float]) -> torch.Tensor:
        return torch.tensor(vectors).T.reshape(1, 3, 1, -1) * 0.5 + 0.5

    small = math.radians(0.01)
    predicted = codes((1, 0, 0), (0, 0, 1), (0, 0.5, 0.5), (math.sin(small), 0, math.cos(small)))
    truth = codes((0, 1, 0), (0, 0, -1), (0, 1, 0), (0, 0, 1))
    assert metrics.angles(predicted, truth).flatten().tolist() == pytest.approx([90, 180, 45, 0.01], rel=2e-3)


def test_scale_invariant_error_by_hand():
    """The best scale of (1, 1) for (1, 3) is 2, with residues 1 and 1; a scaled truth has no residue."""
    predicted = torch.cat([row(1.0, 1.0), row(0.2, 0.6), row(0.0, 0.0)])
    truth = row(1.0, 3.0).expand(3, -1, -1, -1)
    assert metrics.scale_invariant_error(predicted, truth).tolist() == pytest.approx([1, 0, 5], abs=CLOSED_FORM)


def test_local_error_scales_each_window_separately():
    """20 px, windows of 2: halves of different scale affect only windows across the border; black gives 1."""
    truth = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0)) + 0.5
    scaled = torch.cat([truth[..., :10] * 3, truth[..., 10:] * 0.1], dim=-1)
    prediction = torch.cat([scaled, truth * 7, torch.zeros_like(truth)])
    scores = metrics.local_error(prediction, truth.expand(3, -1, -1, -1)).tolist()
    assert scores[1:] == pytest.approx([0, 1], abs=1e-6)
    whole = metrics.scale_invariant_error(scaled, truth).item() / truth.double().square().mean().item()
    assert 0 < scores[0] < 0.15 * whole


def test_confusion_and_mean_iou():
    truth = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    predicted = torch.tensor([[[0, 1, 1, 3]]])
    counts = metrics.confusion(predicted, truth, 4)
    assert counts[0, 0].tolist() == [1, 1, 0, 0]
    assert counts[0, 1].tolist() == [0, 1, 0, 1]
    # class 0: 1 of 2; class 1: 1 of 3; class 2 occurs nowhere; class 3: 0 of 1.
    assert metrics.mean_iou(predicted, truth, 4) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)
