"""Real images and latents of a training run.

Both depend only on the seed and the step, so that a resumed run draws the same numbers as an uninterrupted one.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

CHUNK = 1024


class ImageSet(Protocol):
    """The part of a data set that training uses; implemented by `sgi.trainer.scenes.dataset.RoomDataset`."""

    def __len__(self) -> int:
        """Return the number of images."""

    def images(self, indices: Tensor) -> Tensor:
        """Return `[N, 3, R, R] float32` sRGB in [0, 1] for `indices: [N] int64`."""


def step_generator(seed: int, step: int, stream: int) -> torch.Generator:
    """Return a CPU random generator for one use (`stream`) in one step of one run; seed, step and stream >= 0."""
    # Mixed by NumPy, because torch's CPU generator uses only the low 32 bits of a seed.
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, stream, step]).generate_state(1)[0]))


class RealImages:
    """Batches of an image set, shuffled and with `flips` randomly mirrored.

    On a GPU the whole set is kept in GPU memory as uint8: 50,000 rooms at 128 px are 2.5 GB.
    """

    def __init__(self, images: ImageSet, batch: int, seed: int, flips: bool, device: torch.device) -> None:
        self.source = images
        self.count = len(images)
        self.size = batch
        self.seed = seed
        self.flips = flips
        self.device = device
        self.resident: Tensor | None = None
        if device.type != "cpu":
            chunks = torch.arange(self.count).split(CHUNK)
            self.resident = torch.cat([(images.images(c) * 255).round().byte().to(device) for c in chunks])
        self._shuffled: tuple[int, Tensor] | None = None

    def indices(self, step: int) -> Tensor:
        """Return the `[batch] int64` indices of a step: consecutive epochs, each an independent permutation."""
        positions = torch.arange(step * self.size, (step + 1) * self.size)
        return torch.stack([self._permutation(int(p) // self.count)[int(p) % self.count] for p in positions])

    def batch(self, step: int) -> Tensor:
        """Return the `[batch, 3, R, R] float32` images of a step in [-1, 1], channels last, on the device."""
        indices = self.indices(step)
        if self.resident is None:
            images = self.source.images(indices) * 2 - 1
        else:
            images = self.resident[indices.to(self.device)].float() / 127.5 - 1
        if self.flips:
            mirror = torch.rand(self.size, generator=step_generator(self.seed, step, 1)) < 0.5
            images = torch.where(mirror.to(self.device)[:, None, None, None], images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last)

    def _permutation(self, epoch: int) -> Tensor:
        if self._shuffled is None or self._shuffled[0] != epoch:
            order = torch.randperm(self.count, generator=step_generator(self.seed, epoch, 0))
            self._shuffled = (epoch, order)
        return self._shuffled[1]


def latents(seed: int, step: int, batch: int, z_dim: int, device: torch.device) -> Tensor:
    """Return the `[batch, z_dim] float32` latents of a step, the same on every device."""
    return torch.randn(batch, z_dim, generator=step_generator(seed, step, 2)).to(device)
