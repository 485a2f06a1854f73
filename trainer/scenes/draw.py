"""Random draws for a batch of rooms, from one CPU generator: the same rooms on every device."""

from __future__ import annotations

import torch
from torch import Tensor

from sgi.trainer.scenes.srgb import srgb_decode


class Draw:
    """Random numbers for a batch of n rooms from a `torch.Generator` on the CPU; float32 unless noted otherwise."""

    def __init__(self, n: int, generator: torch.Generator) -> None:
        self.n = n
        self.generator = generator

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform values in [low, high): [n, *shape]."""
        return low + (high - low) * torch.rand(self.n, *shape, generator=self.generator)

    def between(self, low: Tensor, high: Tensor) -> Tensor:
        """Uniform values between two tensors of the same shape; their mean where low > high."""
        free = (high - low).clamp_min(0.0)
        return 0.5 * (low + high) + free * (torch.rand(low.shape, generator=self.generator) - 0.5)

    def bernoulli(self, probability: float, *shape: int) -> Tensor:
        """Bernoulli samples, True with the given probability: [n, *shape] bool."""
        return torch.rand(self.n, *shape, generator=self.generator) < probability

    def colour(
        self,
        saturation: tuple[float, float],
        value: tuple[float, float],
        limit: float = 0.82,
        hue: Tensor | None = None,
    ) -> Tensor:
        """Linear reflectances [n, 3], at most `limit`, of random sRGB colours in HSV.

        saturation, value: ranges in [0, 1]. hue: [n] in [0, 1); None is uniform.
        """
        h = self.uniform(0.0, 1.0) if hue is None else hue
        s, v = self.uniform(*saturation), self.uniform(*value)
        # HSV to RGB in closed form: channel k is v - v s max(0, min(k', 4 - k', 1)), k' = (k + 6 h) mod 6
        k = (torch.tensor([5.0, 3.0, 1.0]) + 6.0 * h[:, None]) % 6.0
        rgb = v[:, None] * (1.0 - s[:, None] * torch.minimum(k, 4.0 - k).clamp(0.0, 1.0))
        return srgb_decode(rgb).clamp_max(limit)
