"""Held-out errors of predictions whose errors are known."""

from __future__ import annotations

import pytest
import torch

from sgi.engine import intrinsics
from sgi.trainer.measures.by_type import type_measures
from sgi.trainer.measures.metrics import mean_iou
from sgi.trainer.teacher_training.held_out_errors import constant_map, error_table, held_out_errors
from sgi.trainer.teachers.unet import TYPES
from sgi.trainer.teachers.unet_teacher import UNetTeacher


def test_perfect_teacher_has_no_error(rooms):
    class Oracle:
        name, sha256, types, input_range, resolution = "oracle", "0" * 64, TYPES, (0.0, 1.0), None
        classes = ()
        calls = 0

        def __call__(self, image, types):
            start = self.calls
            self.calls += len(image)
            return {name: rooms.maps[name][start : self.calls] for name in types}

        def features(self, image):
            return image.flatten(1)

    errors = held_out_errors(Oracle(), rooms, batch=3)
    assert errors["teacher"].keys() == errors["constant"].keys()
    perfect = {
        key: float(measure.higher_is_better)
        for name in TYPES
        for key, measure in type_measures(intrinsics.get(name)).items()
    }
    assert errors["teacher"] == pytest.approx(perfect, abs=1e-4)
    for key in ("depth_rmse", "normal_mean_deg", "albedo_rmse"):
        assert errors["constant"][key] > 0.05


def test_constant_map_is_the_mean(rooms):
    albedo = constant_map("albedo", rooms.maps["albedo"])
    assert albedo.shape == rooms.maps["albedo"].shape
    torch.testing.assert_close(albedo[3], rooms.maps["albedo"].mean(0))
    normal = constant_map("normal", rooms.maps["normal"]) * 2 - 1
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(8, 16, 16))


def test_segmentation_is_measured_and_all_errors_are_in_the_table(rooms, net):
    errors = held_out_errors(UNetTeacher(net, "tiny"), rooms, batch=3)
    whole = held_out_errors(UNetTeacher(net, "tiny"), rooms, batch=8)
    assert errors["teacher"] == pytest.approx(whole["teacher"], rel=1e-3)
    labels = rooms.labels.long()
    mode = torch.nn.functional.one_hot(labels, 3).sum(0).argmax(-1).expand_as(labels)
    assert errors["constant"]["segmentation_miou"] == pytest.approx(mean_iou(mode, labels, 3))
    assert error_table(errors).row_count == len(errors["teacher"])
