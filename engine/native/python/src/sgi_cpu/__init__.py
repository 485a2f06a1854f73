"""Exported models of sgi-engine on a CPU, without another runtime.

    import sgi_cpu

    with sgi_cpu.Engine("rooms.onnx") as engine:
        maps = engine.run(seeds=[0, 1])  # {"image": [2, 3, R, R], "depth": [2, 1, R, R]} float32

`sgi.engine` uses this package as its backend `cpu`.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt

from sgi_cpu import _core
from sgi_cpu._core import ArgumentError, Error, ModelError, UnsupportedError, __version__

__all__ = ["ArgumentError", "Engine", "Error", "ModelError", "UnsupportedError", "__version__", "latent"]


class Engine:
    """An open model, which any number of threads may run at the same time.

    types: dict from the name of each loaded type to its number of channels. resolution: height and width of the maps.
    input: what the model takes, z, w or w+. z_dim, w_dim, num_ws, c_dim: its sizes; w_dim is 0 in files that take z.
    psi: default truncation. runtime: what runs the model. description: JSON of the file.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        *,
        types: str | Sequence[str] | None = None,
        threads: int | None = None,
        batch: int | None = None,
        streams: int | None = None,
        precision: str | None = None,
        backend: str = "cpu",
    ) -> None:
        """Open the path of an .onnx, or its bytes.

        types: names of outputs to load, None for all. threads: None for all cores that this process may use. batch:
        largest number of images in one pass, which bounds the memory; None for 8. streams: calls of several threads
        that compute at the same time, each on its share of the threads; None for one. precision: bf16, or None for
        float32. backend: a backend that the library was built with.

        Raises ModelError for a file that is not an exported model, UnsupportedError for one that this library cannot
        run, ArgumentError for other arguments, all subclasses of Error, and MemoryError.
        """
        self._core = _core.Engine(
            path=None if isinstance(model, bytes) else _path(model),
            model=model if isinstance(model, bytes) else None,
            types=None if types is None else ",".join(_names(types)),
            threads=_number("threads", threads),
            batch=_number("batch", batch),
            streams=_number("streams", streams),
            precision=precision,
            backend=backend,
        )
        info = self._core.info()
        self.types: dict[str, int] = info["channels"]
        self.resolution: int = info["resolution"]
        self.input: str = info["input"]
        self.z_dim: int = info["z_dim"]
        self.w_dim: int = info["w_dim"]
        self.num_ws: int = info["num_ws"]
        self.c_dim: int = info["c_dim"]
        self.psi: float = info["psi"]
        self.runtime: str = info["runtime"]
        self.description: str = info["description"]

    def run(
        self,
        *,
        seeds: npt.ArrayLike | None = None,
        z: npt.ArrayLike | None = None,
        w: npt.ArrayLike | None = None,
        ws: npt.ArrayLike | None = None,
        labels: npt.ArrayLike | None = None,
        psi: float | None = None,
        types: str | Sequence[str] | None = None,
    ) -> dict[str, npt.NDArray[np.float32]]:
        """Maps of exactly one of seeds [N] uint32, z [N, z_dim], w [N, w_dim] and ws [N, num_ws, w_dim].

        labels: [N, c_dim]; for models with classes only. psi: truncation; None for that of the model, and with w and
        ws. types: names of loaded types, None for all. Latents and labels are converted to float32.
        Returns {type: [N, C, R, R] float32}. The interpreter's lock is released meanwhile. Raises ArgumentError for
        arguments that do not fit the model, MemoryError, and Error for other failures.
        """
        numbers = None if seeds is None else _seeds(seeds)
        latents = {"z": _floats("z", z, 2), "w": _floats("w", w, 2), "ws": _floats("ws", ws, 3)}
        given = [value for value in (numbers, *latents.values()) if value is not None]
        if len(given) != 1:
            raise ArgumentError("pass exactly one of seeds, z, w and ws")
        count = len(given[0])
        chosen = tuple(self.types) if types is None else _names(types)
        side = self.resolution
        maps = {name: np.empty((count, self.types.get(name, 1), side, side), np.float32) for name in chosen}
        self._core.run(
            seeds=numbers, **latents, labels=_floats("labels", labels, 2), psi=None if psi is None else float(psi),
            count=count, outputs=list(maps.items()),
        )  # fmt: skip
        return maps

    def close(self) -> None:
        """Free the model, when the last call has returned."""
        self._core.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def latent(seed: int, z_dim: int) -> npt.NDArray[np.float64]:
    """z [z_dim] of a seed, equal to numpy.random.RandomState(seed).randn(z_dim)."""
    z = np.empty(z_dim, np.float64)
    _core.latent(int(_seeds([seed])[0]), z)
    return z


def _path(model: str | os.PathLike[str]) -> bytes:
    path = os.fsencode(model)
    if b"\0" in path:
        raise ArgumentError("the path of the model has a null character")
    return path


def _number(name: str, value: int | None) -> int:
    """The value for sgi.h, whose default is 0; the library refuses numbers that are too large."""
    if value is None:
        return 0
    number = operator.index(value)
    if number < 1:
        raise ArgumentError(f"`{name}={number}`: it is at least 1, or None for the default")
    return min(number, 0xFFFFFFFF)


def _names(types: str | Sequence[str]) -> tuple[str, ...]:
    names = (types,) if isinstance(types, str) else tuple(types)
    if not names:
        raise ArgumentError("`types` is empty: name at least one, or leave it out for all")
    return names


def _seeds(value: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    numbers = np.asarray(value)
    if numbers.size == 0:
        raise ArgumentError("`seeds` is empty: ask for at least one image")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not ((numbers >= 0) & (numbers < 1 << 32)).all():
        raise ArgumentError("seeds are integers [N] from 0 to 4294967295")
    return np.ascontiguousarray(numbers, np.uint32)


def _floats(name: str, value: npt.ArrayLike | None, dimensions: int) -> npt.NDArray[np.float32] | None:
    if value is None:
        return None
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "fiub":
        raise ArgumentError(f"{name} has elements of type {numbers.dtype}, not real numbers")
    with np.errstate(over="ignore"):  # infinities are refused
        array = np.ascontiguousarray(numbers, np.float32)
    if array.ndim != dimensions:
        raise ArgumentError(f"{name} has {array.ndim} dimensions, not {dimensions}")
    return array
