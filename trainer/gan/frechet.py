"""Frechet and kernel distances (KID's estimator) between two sets of feature vectors.

Rooms are scored on features of the bundled teacher. The result is a Frechet distance in the teacher's feature space,
not an FID, which uses Inception features. Values of the two are not comparable.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Frechet(NamedTuple):
    """A Frechet distance, absolute and relative to the variance of the real features."""

    distance: float
    relative: float
    """Distance divided by the trace of the real covariance: 0 for equal sets, 1 is the variance of real samples."""


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> Frechet:
    """Return the squared Frechet distance of Gaussians fitted to two sets (Heusel et al. 2017, equation 6).

    real, fake: [N, F] and [M, F], at least two rows each; computed in float64. The trace of the square root of C1 C2 is
    computed as the sum of square roots of the eigenvalues of the symmetric C1^(1/2) C2 C1^(1/2), which is real and
    accurate also for singular covariances (fewer samples than features). Raises ValueError for other shapes.
    """
    real, fake = _features(real), _features(fake)
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"feature widths differ: {real.shape[1]} and {fake.shape[1]}")
    covariance, other = (np.cov(x, rowvar=False).reshape(x.shape[1], x.shape[1]) for x in (real, fake))
    root = symmetric_root(covariance)
    cross = np.sqrt(np.linalg.eigvalsh(root @ other @ root).clip(min=0)).sum()
    means = np.square(real.mean(axis=0) - fake.mean(axis=0)).sum()
    spread = np.trace(covariance)
    # For equal sets rounding can give a result a few ulp below zero.
    distance = max(float(means + spread + np.trace(other) - 2 * cross), 0.0)
    return Frechet(distance, distance / float(spread))


def symmetric_root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root [F, F] float64 of a covariance, which may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root: np.ndarray = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Return the unbiased squared MMD with the kernel (x.y / F + 1)^3 (Binkowski et al. 2018, section 4).

    real, fake: [N, F] and [M, F], at least two rows each; float64. The unbiased estimate can be negative.
    """
    real, fake = _features(real), _features(fake)
    return float(_mean_off_diagonal(real) + _mean_off_diagonal(fake) - 2 * _kernel(real, fake).mean())


def _features(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"features are [N >= 2, F], not {list(x.shape)}")
    return x


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_off_diagonal(x: np.ndarray) -> float:
    kernel = _kernel(x, x)
    return (kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1))
