"""A backend that counts its passes, for tests of the loops that write files."""

from __future__ import annotations

import numpy as np
from tiny_models import SIDE, describe


class Fake:
    """A backend that counts passes; depth is the first column of z plus the position of the row in the batch."""

    name, device = "fake", "cpu"

    def __init__(self, stop_at: int | None = None):
        self.artifact = describe()
        self.batches: list[np.ndarray] = []
        self.stop_at = stop_at

    def run(self, z, psi, label=None, types=None):
        self.batches.append(z)
        if len(self.batches) == self.stop_at:
            raise KeyboardInterrupt
        value = (z[:, 0] + np.arange(len(z)))[:, None, None, None]
        ones = np.ones((1, 1, SIDE, SIDE), np.float32)
        maps = {"image": (value * ones).repeat(3, 1), "depth": value * ones}
        return {name: maps[name].astype(np.float32) for name in types}

    def close(self):
        pass
