"""Figures of each type against values computed by hand, and that they are functions of means over pictures."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.trainer.measures.by_type import figures, fvu, measures_of, statistics, type_errors, type_measures

DEPTH, NORMAL, ALBEDO, SHADING, EDGES, BED = map(
    intrinsics.get, ("depth", "normal", "albedo", "shading", "edges", "mask-bed")
)


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def vectors(*degrees: float) -> torch.Tensor:
    """Return codes [1, 3, 1, N] of normals tilted from +Z by degrees."""
    tilt = torch.deg2rad(torch.tensor(degrees))
    return (torch.stack([tilt.sin(), torch.zeros_like(tilt), tilt.cos()])[None, :, None] + 1) / 2


def test_fvu_by_hand():
    target = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1)
    mean = torch.full((1, 1, 1, 1), 0.5)
    assert fvu(target, target, mean) == 0
    assert fvu(mean.expand_as(target), target, mean) == 1
    assert fvu(torch.tensor([0.25, 0.75]).reshape(2, 1, 1, 1), target, mean) == 0.25
    assert fvu(1 - target, target, mean) == 4


def test_fvu_refuses_constant_targets():
    same = torch.full((3, 1, 4, 4), 0.3)
    with pytest.raises(UserError, match="the same for every picture"):
        fvu(same, same, same[:1])


def test_high_pass_fvu_ignores_smooth_changes():
    noise = torch.Generator().manual_seed(0)
    ramps = torch.rand(8, 1, 1, 1, generator=noise).expand(8, 1, 16, 16)
    fine = (torch.rand(8, 1, 16, 16, generator=noise) > 0.5) * 0.1
    target = ramps * 0.8 + fine
    measures = measures_of(EDGES, target.mean(dim=0, keepdim=True))
    found = figures(measures, statistics(measures, ramps * 0.8 + 0.05, target))
    assert found["fvu"] < 0.1
    assert found["fvu_high_pass"] == pytest.approx(1, abs=0.25)
    assert found["edges_rmse"] == pytest.approx(0.05, abs=1e-3)


def test_depth_errors_are_of_values_not_codes():
    """Codes 0.8 0.5 0.0 are depths 0.2 0.5 1.0; for the depths 0.2 0.8 1.0 the best line is (23 d - 0.6) / 26."""
    errors = type_errors(DEPTH, row(0.8, 0.2, 0.0), row(0.8, 0.5, 0.0))
    assert errors["depth_rmse"] == pytest.approx(0.3 / math.sqrt(3))
    aligned = [(23 * depth - 0.6) / 26 for depth in (0.2, 0.8, 1.0)]
    misses = [abs(a - depth) for a, depth in zip(aligned, (0.2, 0.5, 1.0), strict=True)]
    relative = (misses[0] / 0.2 + misses[1] / 0.5 + misses[2] / 1.0) / 3
    assert errors["depth_scale_shift_abs_rel"] == pytest.approx(relative, rel=1e-4)
    root = math.sqrt(sum(miss**2 for miss in misses) / 3)
    assert errors["depth_scale_shift_rmse"] == pytest.approx(root, rel=1e-4)
    # 0.154 for 0.2 and 0.685 for 0.5 are off by factors of 1.3 and 1.37, 0.862 for 1 by 1.16.
    assert errors["depth_scale_shift_delta1"] == pytest.approx(1 / 3)


def test_normal_errors_are_in_degrees():
    errors = type_errors(NORMAL, vectors(10, 20, 25, 60, 40), vectors(0, 0, 0, 0, 0))
    assert errors["normal_mean_deg"] == pytest.approx(31, abs=1e-3)
    # The median is read from a histogram whose bins are 0.1 degrees wide there.
    assert errors["normal_median_deg"] == pytest.approx(25, abs=0.1)
    assert errors["normal_under_11_25"] == pytest.approx(1 / 5)
    assert errors["normal_under_22_5"] == pytest.approx(2 / 5)
    assert errors["normal_under_30"] == pytest.approx(3 / 5)


def test_the_median_is_over_all_pixels():
    degrees = torch.rand(4001, generator=torch.Generator().manual_seed(0)) * 50
    tilted, upright = vectors(*degrees.tolist()), vectors(*[0.0] * 4001)
    assert type_errors(NORMAL, tilted, upright)["normal_median_deg"] == pytest.approx(degrees.median().item(), abs=0.02)
    assert type_errors(NORMAL, tilted, tilted)["normal_median_deg"] == pytest.approx(0, abs=1e-4)


def test_shading_errors_are_of_linear_values():
    """Half the light everywhere changes the codes, but not the shading up to scale."""
    values = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0)).numpy() + 0.2
    target, prediction = (torch.from_numpy(intrinsics.encode(SHADING, v)) for v in (values, values / 2))
    errors = type_errors(SHADING, prediction, target)
    assert errors["shading_si_rmse"] == pytest.approx(0, abs=CLOSED_FORM)
    assert errors["shading_lmse"] == pytest.approx(0, abs=CLOSED_FORM)
    assert errors["shading_rmse"] > 0.1
    black = type_errors(ALBEDO, torch.zeros(2, 1, 20, 20), torch.from_numpy(values / 2))
    assert black["albedo_lmse"] == pytest.approx(1)


def test_mask_overlap_is_of_the_inside_only():
    errors = type_errors(BED, row(0.6, 0.4, 0.9, 0.1), row(1.0, 1.0, 0.0, 0.0))
    assert errors["mask-bed_iou"] == pytest.approx(1 / 3)
    assert errors["mask-bed_accuracy"] == pytest.approx(2 / 4)
    assert math.isnan(type_errors(BED, row(0.0), row(0.0))["mask-bed_iou"])


def test_segmentation_uses_the_nearest_colour():
    kind = intrinsics.get("segmentation").with_classes(("floor", "wall", "bed"))

    def coded(labels):
        return torch.from_numpy(intrinsics.encode(kind, np.array(labels, np.float32).reshape(1, 1, 1, -1))).float()

    prediction = (coded([0, 1, 1, 2]) * 0.9 + 0.04).clamp(0, 1)
    errors = type_errors(kind, prediction, coded([0, 0, 1, 2]))
    assert errors["segmentation_accuracy"] == pytest.approx(3 / 4)
    assert errors["segmentation_miou"] == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)


def test_edge_correlation_ignores_scale_and_shift():
    target = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert type_errors(EDGES, target * 0.5 + 0.1, target)["edges_correlation"] == pytest.approx(1, abs=1e-5)
    assert type_errors(EDGES, 1 - target, target)["edges_correlation"] == pytest.approx(-1, abs=1e-5)


@pytest.mark.parametrize("name", ["depth", "normal", "albedo", "shading", "edges", "mask-bed", "image"])
def test_figures_are_functions_of_means_over_pictures(name):
    """The weighted average of the statistics of two sets of pictures gives the figures of both together."""
    noise = torch.Generator().manual_seed(1)
    kind = intrinsics.get(name)
    prediction, target = torch.rand(2, 6, kind.channels, 12, 12, generator=noise)
    measures = measures_of(kind, target.mean(dim=0, keepdim=True))
    whole = statistics(measures, prediction, target)
    parts = [statistics(measures, prediction[part], target[part]) for part in (slice(0, 2), slice(2, 6))]
    for key, measure in measures.items():
        mean = (2 * parts[0][key].mean(axis=0) + 4 * parts[1][key].mean(axis=0)) / 6
        assert float(measure.figure(mean)) == pytest.approx(float(measure.figure(whole[key].mean(axis=0))))
        # Resampled means have a batch axis.
        assert measure.figure(np.stack([mean, mean, mean])).shape == (3,)


def test_perfect_predictions_have_perfect_figures():
    target = torch.rand(3, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for kind in (DEPTH, NORMAL, ALBEDO, SHADING, EDGES, BED):
        codes = target[:, : kind.channels]
        for key, measure in type_measures(kind).items():
            wanted = 1 if measure.higher_is_better else 0
            assert type_errors(kind, codes, codes)[key] == pytest.approx(wanted, abs=1e-4), key
