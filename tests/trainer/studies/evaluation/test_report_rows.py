"""Rows of the report from results of tasks: means over fits, intervals, and baselines."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from sgi.engine import intrinsics
from sgi.trainer.measures.bootstrap import Estimate
from sgi.trainer.measures.by_type import measures_of, statistics
from sgi.trainer.studies.evaluation.report_rows import estimate_of, report_rows, rounded
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.evaluation.tasks import Row, Task

KINDS = {"depth": intrinsics.get("depth")}


def kept(target, errors):
    """By predictor, the statistics of a prediction with errors of that size."""
    measures = measures_of(KINDS["depth"], target.mean(dim=0, keepdim=True))
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0))
    return {name: statistics(measures, target + size * noise, target) for name, size in errors.items()}


@pytest.fixture
def rows():
    target = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2
    fits = [{"offset": size, "ridge": 0.2, "constant": 0.3} for size in (0.05, 0.06)]
    tensors = {"offset": torch.eye(3)}
    results = {Task(Row("depth"), i): TaskResult(tensors, kept(target, sizes), 2.0) for i, sizes in enumerate(fits)}
    results[Task(Row("depth", given="old"))] = TaskResult(tensors, kept(target, {"offset": 0.1}), 1.0)
    return report_rows(results, KINDS)


def test_row_has_the_mean_over_its_fits(rows):
    entry = rows[0]
    assert (entry["label"], entry["role"], entry["fits"], entry["parameters"]) == ("depth", "intrinsic", 2, 3)
    figure = entry["figures"]["fvu"]
    assert figure["value"] == pytest.approx(np.mean(figure["fits"]), rel=1e-4)
    assert figure["fits"][0] < figure["value"] < figure["fits"][1]
    assert figure["low"] < figure["value"] < figure["high"]


def test_row_has_its_baselines(rows):
    entry = rows[0]
    assert entry["best_baseline"] == "ridge"
    assert list(entry["baselines"]) == ["constant", "ridge"]
    # Noise of 0.05 and 0.06 over noise of 0.2.
    assert entry["beyond_ridge"]["value"] == pytest.approx(1 - (0.25**2 + 0.3**2) / 2, abs=1e-3)


def test_given_offset_is_compared_with_the_ridge_of_its_type(rows):
    entry = rows[1]
    assert (entry["label"], entry["fits"]) == ("depth (file old)", 1)
    assert "baselines" not in entry
    assert "fits" not in entry["figures"]["fvu"]
    assert entry["beyond_ridge"]["value"] == pytest.approx(1 - 0.25, abs=1e-3)


def test_rows_are_json(rows):
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_estimates_round_trip():
    estimate = Estimate(0.123456, 0.1, 0.2, (0.1, 0.15))
    assert rounded(estimate) == {"value": 0.12346, "low": 0.1, "high": 0.2, "fits": [0.1, 0.15]}
    assert estimate_of(rounded(estimate)).low == 0.1
    assert rounded(Estimate(math.nan, 0.0, 1.0))["value"] is None
