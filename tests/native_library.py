"""The C++ library as its tests reach it: where it is built, its C interface through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
_FLOATS = ctypes.POINTER(ctypes.c_float)
_SEEDS = ctypes.POINTER(ctypes.c_uint32)


class _Options(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_char_p) for name in ("backend", "device", "types", "runtime")),
        ("threads", ctypes.c_uint32),
        ("batch", ctypes.c_uint32),
        ("precision", ctypes.c_char_p),
    ]


class _Request(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("count", ctypes.c_size_t),
        ("seeds", _SEEDS),
        ("z", _FLOATS),
        ("classes", _SEEDS),
        ("psi", _FLOATS),
    ]


class _Output(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("data", _FLOATS), ("bytes", ctypes.c_size_t)]


class NativeError(Exception):
    """A failed call: (status, message)."""


def build_folder(preset: str) -> Path:
    """Where a CMake preset is built."""
    return ROOT / "build" / f"native-{preset}"


class NativeLibrary:
    """libsgi-engine of one preset."""

    def __init__(self, preset: str) -> None:
        self._library = ctypes.CDLL(str(build_folder(preset) / "engine/native/libsgi-engine.so"))
        self._library.sgi_last_error.restype = ctypes.c_char_p
        self._library.sgi_close.argtypes = [ctypes.c_void_p]
        self._library.sgi_latent.argtypes = [ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t]

    def latent(self, seed: int, z_dim: int) -> np.ndarray:
        """z of a seed: [z_dim] float64."""
        z = np.empty(z_dim)
        self._check(self._library.sgi_latent(seed, z.ctypes.data, z_dim))
        return z

    def generate(
        self,
        model: Path,
        shapes: dict[str, tuple[int, ...]],
        seeds: Sequence[int],
        psi: float | None = None,
        classes: Sequence[int] | None = None,
        **options: str | int,
    ) -> dict[str, np.ndarray]:
        """Open a model, make the maps of `shapes`, {type: [N, C, R, R]}, and close it; raises NativeError."""
        encoded = {name: value.encode() if isinstance(value, str) else value for name, value in options.items()}
        engine = ctypes.c_void_p()
        asked = _Options(ctypes.sizeof(_Options), **encoded)
        self._check(self._library.sgi_open(str(model).encode(), ctypes.byref(asked), ctypes.byref(engine)))
        try:
            maps = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
            outputs = (_Output * len(maps))(
                *(_Output(name.encode(), v.ctypes.data_as(_FLOATS), v.nbytes) for name, v in maps.items())
            )
            request = _Request(
                ctypes.sizeof(_Request),
                len(seeds),
                (ctypes.c_uint32 * len(seeds))(*seeds),
                None,
                None if classes is None else (ctypes.c_uint32 * len(classes))(*classes),
                None if psi is None else ctypes.pointer(ctypes.c_float(psi)),
            )
            self._check(self._library.sgi_generate(engine, ctypes.byref(request), outputs, len(maps)))
        finally:
            self._library.sgi_close(engine)
        return maps

    def _check(self, status: int) -> None:
        if status:
            raise NativeError(status, self._library.sgi_last_error().decode())
