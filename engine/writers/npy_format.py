"""Maps as .npy files."""

from __future__ import annotations

import io

import numpy as np

from sgi.engine.budget import read_npy
from sgi.engine.intrinsics import Kind


class Npy:
    """NumPy's .npy: float32 [C, H, W], exactly the output of the model for one image."""

    suffix = ".npy"

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """See `MapFormat.encode`."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(value, np.float32), allow_pickle=False)
        return buffer.getvalue()

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """See `MapFormat.decode`."""
        return read_npy(data)
