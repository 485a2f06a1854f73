"""The distribution of w as a Gaussian, and whitened coordinates, in which its covariance is the identity.

w varies far more along some directions than along others. In whitened coordinates one step size suits all directions,
and the squared length is the squared Mahalanobis distance from the mean: the penalty of inversion and of the search for
directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sgi.engine.generator import Generator
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.seed_splits import fitting_seeds

SAMPLES = 4096
NEGLIGIBLE = 1e-3
"""Standard deviations below this share of the largest count as zero."""


@dataclass(frozen=True)
class Whitening:
    """The Gaussian; all float32.

    mean: [w_dim]. root: [w_dim, w_dim], the symmetric square root of w's covariance. inverse: the inverse of root.
    """

    mean: Tensor
    root: Tensor
    inverse: Tensor

    def shift(self, v: Tensor) -> Tensor:
        """Return the change of w [..., w_dim] by whitened coordinates v [..., w_dim]."""
        return v @ self.root

    def point(self, v: Tensor) -> Tensor:
        """Return the w [..., w_dim] at whitened coordinates v [..., w_dim]; 0 is the mean."""
        return self.mean + self.shift(v)

    def coordinates(self, w: Tensor) -> Tensor:
        """Return whitened coordinates [..., w_dim] of w [..., w_dim]; 0 along directions in which w hardly varies."""
        return (w - self.mean) @ self.inverse


@torch.no_grad()
def whitening(generator: Generator, sampling: Sampling, samples: int = SAMPLES) -> Whitening:
    """Estimate mean and covariance of w over fitting seeds, not truncated; on the generator's device."""
    untruncated = Sampling(noise_mode=sampling.noise_mode, class_index=sampling.class_index)
    w = untruncated.ws(generator, fitting_seeds(samples, 0))[:, -1].double()
    mean = w.mean(dim=0)
    values, vectors = torch.linalg.eigh((w - mean).T @ (w - mean) / len(w))
    sizes = values.clamp_min(0).sqrt()
    spread = torch.where(sizes > NEGLIGIBLE * sizes.max(), sizes, 0)
    inverse = torch.where(spread > 0, 1 / spread, 0)
    root, back = (vectors * diagonal @ vectors.T for diagonal in (spread, inverse))
    return Whitening(mean.float(), root.float(), back.float())
