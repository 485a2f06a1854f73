"""The cloud of w as a Gaussian, and the coordinates in which that Gaussian is round.

w varies far more along some directions than along others. In whitened coordinates one step size suits all of them,
and the squared length says how unusual a latent is: what inversion and direction finding pay for leaving the cloud.
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
"""Standard deviations below this share of the largest count as none."""


@dataclass(frozen=True)
class Whitening:
    """mean: [w_dim]. root: [w_dim, w_dim], the symmetric square root of w's covariance; inverse: its own. float32."""

    mean: Tensor
    root: Tensor
    inverse: Tensor

    def shift(self, v: Tensor) -> Tensor:
        """The change of w [..., w_dim] that whitened coordinates [..., w_dim] stand for."""
        return v @ self.root

    def point(self, v: Tensor) -> Tensor:
        """The w [..., w_dim] at whitened coordinates [..., w_dim]; 0 is the mean."""
        return self.mean + self.shift(v)

    def coordinates(self, w: Tensor) -> Tensor:
        """Whitened coordinates [..., w_dim] of w [..., w_dim]; 0 along directions in which w hardly varies."""
        return (w - self.mean) @ self.inverse


@torch.no_grad()
def whitening(generator: Generator, sampling: Sampling, samples: int = SAMPLES) -> Whitening:
    """Mean and covariance of w over seeds that are for fitting, not truncated; on the generator's device."""
    free = Sampling(noise_mode=sampling.noise_mode, class_index=sampling.class_index)
    w = free.ws(generator, fitting_seeds(samples, 0))[:, -1].double()
    mean = w.mean(dim=0)
    values, vectors = torch.linalg.eigh((w - mean).T @ (w - mean) / len(w))
    sizes = values.clamp_min(0).sqrt()
    spread = torch.where(sizes > NEGLIGIBLE * sizes.max(), sizes, 0)
    inverse = torch.where(spread > 0, 1 / spread, 0)
    root, back = (vectors * diagonal @ vectors.T for diagonal in (spread, inverse))
    return Whitening(mean.float(), root.float(), back.float())
