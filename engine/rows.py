"""Rows of a pass: latents of images with their labels, cut and padded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Rows:
    """Latents of images. kind: z, w or ws. latent: [N, ...] float32. label: [N, c_dim] float32 or None."""

    kind: str
    latent: np.ndarray
    label: np.ndarray | None = None

    def part(self, start: int, stop: int) -> Rows:
        """The rows from `start` to before `stop`."""
        part = slice(start, stop)
        return Rows(self.kind, self.latent[part], None if self.label is None else self.label[part])

    def padded(self, count: int) -> Rows:
        """`count` rows: these, and copies of the last."""
        missing = count - len(self.latent)
        label = None if self.label is None else pad_rows(self.label, missing)
        return Rows(self.kind, pad_rows(self.latent, missing), label)


def pad_rows(rows: np.ndarray, missing: int) -> np.ndarray:
    """`rows` with `missing` copies of the last row appended: [N, ...] -> [N + missing, ...]."""
    return np.pad(rows, ((0, missing), *[(0, 0)] * (rows.ndim - 1)), mode="edge") if missing else rows
