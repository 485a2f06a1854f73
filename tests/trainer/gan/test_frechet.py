"""Distances between feature sets against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from tolerances import CLOSED_FORM

from sgi.trainer.gan.frechet import frechet_distance, kernel_distance


def gaussian(mean, covariance, count, seed):
    """Samples whose sample mean and covariance are exactly those given."""
    x = np.random.RandomState(seed).randn(count, len(mean))
    x -= x.mean(axis=0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return np.asarray(mean) + x @ np.linalg.cholesky(np.asarray(covariance)).T


def test_distance_of_gaussians_with_commuting_covariances():
    real = gaussian([0, 0, 0], np.diag([1.0, 4.0, 9.0]), 200, 0)
    fake = gaussian([1, 0, 2], np.diag([4.0, 4.0, 1.0]), 150, 1)
    result = frechet_distance(real, fake)
    # |m|^2 + sum (sqrt a - sqrt b)^2
    assert result.distance == pytest.approx(5 + 1 + 0 + 4, rel=CLOSED_FORM)
    assert result.relative == pytest.approx(10 / 14, rel=CLOSED_FORM)


def test_distance_of_gaussians_whose_covariances_do_not_commute():
    # In two dimensions tr sqrt(M) = sqrt(tr M + 2 sqrt(det M)) for M = C1 C2.
    a, b = np.array([[2.0, 1.0], [1.0, 2.0]]), np.array([[3.0, 0.0], [0.0, 1.0]])
    product = a @ b
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    result = frechet_distance(gaussian([0, 0], a, 100, 2), gaussian([0, 0], b, 100, 3))
    assert result.distance == pytest.approx(expected, rel=CLOSED_FORM)


def test_distance_of_equal_sets_is_zero_with_fewer_samples_than_features():
    x = np.random.RandomState(0).randn(20, 50).astype(np.float32)
    assert frechet_distance(x, x).relative < CLOSED_FORM


def test_kernel_distance_is_the_unbiased_estimate():
    random = np.random.RandomState(0)
    x, y = random.randn(7, 3), random.randn(5, 3) + 1

    def kernel(a, b):
        return (np.dot(a, b) / 3 + 1) ** 3

    within_x = np.mean([kernel(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(5) for j in range(5) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between, rel=CLOSED_FORM)


@pytest.mark.parametrize("shape", [(1, 4), (4,), (4, 5)])
def test_features_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="features are|widths differ"):
        frechet_distance(np.zeros((4, 4)), np.zeros(shape))
