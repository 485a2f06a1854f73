"""The C++ library for its tests: its build folders, and its C interface through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from sgi.engine.decoding import DECODINGS
from sgi.engine.intrinsics import Intrinsic

_Facts = TypeVar("_Facts")
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
        ("labels", _FLOATS),
        ("w", _FLOATS),
        ("ws", _FLOATS),
    ]


class _Output(ctypes.Structure):
    _fields_ = [("type", ctypes.c_char_p), ("data", _FLOATS), ("bytes", ctypes.c_size_t)]


class _Type(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("channels", ctypes.c_uint32),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
        ("meaning", ctypes.c_char_p),
        ("decoding", ctypes.c_int),
        ("png_bits", ctypes.c_uint32),
        ("class_count", ctypes.c_uint32),
        ("classes", ctypes.POINTER(ctypes.c_char_p)),
        ("colours", ctypes.POINTER(ctypes.c_uint8)),
    ]


class _ModelInfo(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_uint32) for name in ("resolution", "z_dim", "c_dim")),
        ("psi", ctypes.c_float),
        *((name, ctypes.c_char_p) for name in ("backend", "device", "runtime", "generator_sha256", "description")),
        ("types", ctypes.POINTER(_Type)),
        ("type_count", ctypes.c_size_t),
        ("input", ctypes.c_char_p),
        ("w_dim", ctypes.c_uint32),
        ("num_ws", ctypes.c_uint32),
        ("fallback", ctypes.c_char_p),
    ]


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
        seeds: Sequence[int] | None,
        psi: float | None = None,
        classes: Sequence[int] | None = None,
        labels: np.ndarray | None = None,
        latents: dict[str, np.ndarray] | None = None,
        **options: str | int,
    ) -> dict[str, np.ndarray]:
        """Open a model, generate the maps of `shapes`, {type: [N, C, R, R]}, and close it; raises NativeError.

        labels: [N, c_dim] float32 in C order, instead of classes. latents: z, w or ws -> [N, ...] float32 in C order.
        """
        encoded = {name: value.encode() if isinstance(value, str) else value for name, value in options.items()}
        engine = ctypes.c_void_p()
        structure = _Options(ctypes.sizeof(_Options), **encoded)
        self._check(self._library.sgi_open(str(model).encode(), ctypes.byref(structure), ctypes.byref(engine)))
        try:
            maps = {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}
            outputs = (_Output * len(maps))(
                *(_Output(name.encode(), v.ctypes.data_as(_FLOATS), v.nbytes) for name, v in maps.items())
            )
            request = _Request(
                ctypes.sizeof(_Request),
                next(iter(shapes.values()))[0],
                None if seeds is None else (ctypes.c_uint32 * len(seeds))(*seeds),
                None,
                None if classes is None else (ctypes.c_uint32 * len(classes))(*classes),
                None if psi is None else ctypes.pointer(ctypes.c_float(psi)),
                None if labels is None else labels.ctypes.data_as(_FLOATS),
            )
            for name, values in (latents or {}).items():
                setattr(request, name, values.ctypes.data_as(_FLOATS))
            self._check(self._library.sgi_generate(engine, ctypes.byref(request), outputs, len(maps)))
        finally:
            self._library.sgi_close(engine)
        return maps

    def types(self, model: Path) -> list[tuple[Intrinsic, np.ndarray]]:
        """The types of a model by sgi_info, and the colours [K, 3] uint8 of their classes; raises NativeError."""
        return self._info(model, lambda info: [_python_type(info.types[i]) for i in range(info.type_count)])

    def input(self, model: Path) -> tuple[str, int, int]:
        """What a model takes, its w_dim and num_ws, by sgi_info; raises NativeError."""
        return self._info(model, lambda info: (info.input.decode(), info.w_dim, info.num_ws))

    def backend(self, model: Path, backend: str | None = None) -> tuple[str, str | None]:
        """The backend that runs a model, and why cpu does not where it is the default; raises NativeError."""

        def read(info: _ModelInfo) -> tuple[str, str | None]:
            return info.backend.decode(), info.fallback.decode() if info.fallback else None

        return self._info(model, read, backend)

    def _info(self, model: Path, read: Callable[[_ModelInfo], _Facts], backend: str | None = None) -> _Facts:
        engine = ctypes.c_void_p()
        options = _Options(ctypes.sizeof(_Options), backend=backend.encode() if backend else None)
        self._check(self._library.sgi_open(str(model).encode(), ctypes.byref(options), ctypes.byref(engine)))
        try:
            info = _ModelInfo(ctypes.sizeof(_ModelInfo))
            self._check(self._library.sgi_info(engine, ctypes.byref(info)))
            return read(info)  # before the engine is closed, which owns what it points to
        finally:
            self._library.sgi_close(engine)

    def _check(self, status: int) -> None:
        if status:
            raise NativeError(status, self._library.sgi_last_error().decode())


def _python_type(type_: _Type) -> tuple[Intrinsic, np.ndarray]:
    row = Intrinsic(
        type_.name.decode(), type_.channels, type_.low, type_.high, tuple(DECODINGS)[type_.decoding],
        type_.meaning.decode(), type_.png_bits, tuple(type_.classes[i].decode() for i in range(type_.class_count)),
    )  # fmt: skip
    return row, np.array(type_.colours[: 3 * type_.class_count], np.uint8).reshape(-1, 3)
