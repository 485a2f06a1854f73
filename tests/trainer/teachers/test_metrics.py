"""Measures against values worked out by hand, and the error report on answers whose errors are known."""

from __future__ import annotations

import math

import pytest
import torch

from sgi.trainer.teachers import metrics
from sgi.trainer.teachers.evaluate import constant_map, error_table, evaluate
from sgi.trainer.teachers.native import UNetTeacher
from sgi.trainer.teachers.unet import TYPES


def _map(*values: float) -> torch.Tensor:
    return torch.tensor(values).reshape(1, 1, 1, -1)


def test_rmse():
    assert metrics.rmse(_map(0.0, 0.5), _map(0.3, 0.1)) == pytest.approx(math.sqrt((0.09 + 0.16) / 2))


def test_scale_shift_undoes_scale_and_shift_of_each_picture():
    truth = torch.rand(3, 1, 4, 4)
    scale, shift = torch.tensor([2.0, -0.5, 0.1]).view(3, 1, 1, 1), torch.tensor([0.1, 0.2, -3.0]).view(3, 1, 1, 1)
    torch.testing.assert_close(metrics.scale_shift(truth * scale + shift, truth), truth)


def test_scale_shift_by_hand():
    """Least squares line through (0, 0), (1, 1), (2, 1): slope 1/2, intercept 1/6."""
    aligned = metrics.scale_shift(_map(0.0, 1.0, 2.0), _map(0.0, 1.0, 1.0))
    torch.testing.assert_close(aligned, _map(1 / 6, 4 / 6, 7 / 6))


def test_scale_shift_of_a_flat_prediction_is_the_mean():
    torch.testing.assert_close(metrics.scale_shift(_map(0.7, 0.7, 0.7), _map(0.0, 1.0, 2.0)), _map(1.0, 1.0, 1.0))


def test_absolute_relative():
    assert metrics.absolute_relative(_map(0.3, 0.5), _map(0.2, 1.0)) == pytest.approx((0.5 + 0.5) / 2)
    floor = metrics.DEPTH_FLOOR
    assert metrics.absolute_relative(_map(floor / 2), _map(0.0)) == pytest.approx(0.5)


def test_angles():
    def codes(*vectors: tuple[float, float, float]) -> torch.Tensor:
        return torch.tensor(vectors).T.reshape(1, 3, 1, -1) * 0.5 + 0.5

    small = math.radians(0.01)
    predicted = codes((1, 0, 0), (0, 0, 1), (0, 0.5, 0.5), (math.sin(small), 0, math.cos(small)))
    truth = codes((0, 1, 0), (0, 0, -1), (0, 1, 0), (0, 0, 1))
    assert metrics.angles(predicted, truth).flatten().tolist() == pytest.approx([90, 180, 45, 0.01], rel=2e-3)


def test_mean_iou():
    truth = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    told = torch.tensor([[[0, 1, 1, 3]]])
    # class 0: 1 of 2; class 1: 1 of 3; class 2 occurs nowhere; class 3: 0 of 1.
    assert metrics.mean_iou(told, truth, 4) == pytest.approx((1 / 2 + 1 / 3 + 0) / 3)


def test_depth_is_measured_in_values_not_codes():
    """Codes 0.8 0.5 0.0 are depths 0.2 0.5 1.0; told 0.2 0.8 1.0, the best line is (23 d - 0.6) / 26."""
    errors = metrics.type_errors("depth", _map(0.8, 0.2, 0.0), _map(0.8, 0.5, 0.0))
    assert errors["depth_rmse"] == pytest.approx(0.3 / math.sqrt(3))
    aligned = [(23 * depth - 0.6) / 26 for depth in (0.2, 0.8, 1.0)]
    misses = [abs(a - depth) for a, depth in zip(aligned, (0.2, 0.5, 1.0), strict=True)]
    relative = (misses[0] / 0.2 + misses[1] / 0.5 + misses[2] / 1.0) / 3
    assert errors["depth_scale_shift_abs_rel"] == pytest.approx(relative, rel=1e-4)
    root = math.sqrt(sum(miss**2 for miss in misses) / 3)
    assert errors["depth_scale_shift_rmse"] == pytest.approx(root, rel=1e-4)


def test_a_perfect_teacher_has_no_error(rooms):
    class Oracle:
        name, sha256, types, input_range, resolution = "oracle", "0" * 64, TYPES, (0.0, 1.0), None
        calls = 0

        def __call__(self, image, types):
            start = self.calls
            self.calls += len(image)
            return {name: rooms.maps[name][start : self.calls] for name in types}

        def features(self, image):
            return image.flatten(1)

    errors = evaluate(Oracle(), rooms, batch=3)
    assert errors["teacher"].keys() == errors["constant"].keys()
    assert errors["teacher"] == pytest.approx(dict.fromkeys(errors["teacher"], 0.0), abs=1e-4)
    for key in ("depth_rmse", "normal_mean_deg", "albedo_rmse"):
        assert errors["constant"][key] > 0.05


def test_constant_map_is_the_mean(rooms):
    albedo = constant_map("albedo", rooms.maps["albedo"])
    assert albedo.shape == rooms.maps["albedo"].shape
    torch.testing.assert_close(albedo[3], rooms.maps["albedo"].mean(0))
    normal = constant_map("normal", rooms.maps["normal"]) * 2 - 1
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(8, 16, 16))


def test_report_covers_the_segmentation_and_prints(rooms, net):
    errors = evaluate(UNetTeacher(net, "tiny"), rooms, batch=3)
    whole = evaluate(UNetTeacher(net, "tiny"), rooms, batch=8)
    assert errors["teacher"] == pytest.approx(whole["teacher"], rel=1e-3)
    labels = rooms.labels.long()
    mode = torch.nn.functional.one_hot(labels, 3).sum(0).argmax(-1).expand_as(labels)
    assert errors["constant"]["segmentation_miou"] == pytest.approx(metrics.mean_iou(mode, labels, 3))
    assert error_table(errors).row_count == 8
