"""Maps as .npy files."""

from __future__ import annotations

import io
from functools import cache

import numpy as np

from sgi.engine.budget import read_npy
from sgi.engine.intrinsics import Kind


class Npy:
    """NumPy's .npy: float32 [C, H, W], exactly the output of the model for one image."""

    suffix = ".npy"

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """See `MapFormat.encode`."""
        return npy_bytes(np.asarray(value, np.float32))

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """See `MapFormat.decode`."""
        return read_npy(data)


def npy_bytes(array: np.ndarray) -> bytes:
    """The bytes that `numpy.save` writes of an array in C order, in a third of its time: headers are kept."""
    return _header(array.shape, array.dtype) + array.tobytes()


@cache
def _header(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()
