"""TensorRT and TensorRT-RTX engines: buffers and CUDA graphs for each batch size, outputs on the host or the GPU.

An engine computes every type it was built with; types that are not requested are not copied. A batch is computed while
the maps of the previous one are copied.
"""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends.cuda_memory import OutOfDeviceMemoryError, open_memory
from sgi.engine.backends.device_array import DeviceArray
from sgi.engine.backends.engine_file import MODULES, EngineFacts, is_installed, rebuild
from sgi.engine.backends.ports import Port, check_ports
from sgi.engine.backends.tensorrt_batch import Batch, Maps
from sgi.engine.errors import UserError
from sgi.engine.gpu import find_gpus
from sgi.engine.model_file import read_engine

# Each batch size has buffers and scratch memory.
_SIZES_KEPT = 2


class TensorRtBackend:
    """An engine on the first GPU; see `Backend`, `Overlapping` and `OnDevice`."""

    name = "tensorrt"

    def __init__(
        self,
        path: Path,
        artifact: Artifact,
        *,
        device: str,
        types: tuple[str, ...],
        batch: int,
        threads: int | None = None,
    ) -> None:
        self.device = device
        self.artifact = artifact
        self.path = path
        self._types = types
        self.facts = EngineFacts.read(path)
        self.facts.check_gpu(path, artifact, find_gpus())
        trt = load_module(path, self.facts)
        self.facts.check_version(path, artifact, trt.__version__)
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(read_engine(path, self.facts.engine_sha256))
        if self._engine is None:
            raise UserError(f"{path}: {self.facts.module} cannot load it; {rebuild(path, artifact, self.facts)}")
        ports: tuple[list[Port], list[Port]] = ([], [])
        for i in range(self._engine.num_io_tensors):
            port = _port(trt, self._engine, self._engine.get_tensor_name(i))
            ports[self._engine.get_tensor_mode(port.name) != trt.TensorIOMode.INPUT].append(port)
        # Each batch has buffers for every type, also for those that are not requested.
        check_ports(path, artifact, *ports, artifact.type_names)
        self._memory = open_memory()
        self._lock = Lock()  # buffers and execution contexts serve one call at a time
        self._sizes: OrderedDict[int, Batch] = OrderedDict()
        self._least, _, self._most = self.facts.batch

    def run(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Maps:
        """See `Backend.run`; more rows than the largest batch of the engine are run in parts."""
        return self.start(latent, psi, label, types)()

    def start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], Maps]:
        """See `Overlapping.start`."""
        with self._lock:
            maps = self._start(latent, psi, label, types)

        def finish() -> Maps:
            with self._lock:
                return maps()

        return finish

    def _start(
        self, latent: np.ndarray, psi: float | None, label: np.ndarray | None, types: Sequence[str] | None
    ) -> Callable[[], Maps]:
        chosen = self._types if types is None else self.artifact.choose_types(types)
        parts: list[Callable[[], Maps]] = []
        start = 0
        while start < len(latent):
            stop = min(start + self._most, len(latent))
            batch = self._batch(stop - start)
            if batch is None:
                continue  # the largest batch was halved
            rows = None if label is None else label[start:stop]
            parts.append(batch.enqueue(latent[start:stop], psi, rows).to_host(chosen, stop - start))
            start = stop
        if len(parts) == 1:
            return parts[0]
        return lambda: _joined([part() for part in parts])

    def run_on_device(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, DeviceArray]:
        """See `OnDevice.run_on_device`; the maps are valid until the next run of the same number of rows.

        Raises UserError for more rows than the largest batch of the engine.
        """
        chosen = self._types if types is None else self.artifact.choose_types(types)
        batch = self._batch(len(latent)) if len(latent) <= self._most else None
        if batch is None:
            raise UserError(f"`batch={len(latent)}`: {self.path.name} runs at most {self._most} rows at once here")
        return batch.enqueue(latent, psi, label).on_device(chosen, len(latent))

    def close(self) -> None:
        """See `Backend.close`."""
        while self._sizes:
            self._sizes.popitem()[1].free()

    def _batch(self, rows: int) -> Batch | None:
        """Buffers for at least `rows` rows; None if the GPU has no memory for them and the largest batch was halved."""
        rows = max(rows, self._least)
        if rows in self._sizes:
            self._sizes.move_to_end(rows)
            return self._sizes[rows]
        while len(self._sizes) >= _SIZES_KEPT:
            self._forget_oldest()
        while rows not in self._sizes:
            try:
                self._sizes[rows] = Batch(self._engine, self._memory, self.artifact, rows)
            except OutOfDeviceMemoryError:
                if self._sizes:
                    self._forget_oldest()
                    continue
                self._halve(rows)
                return None
        return self._sizes[rows]

    def _forget_oldest(self) -> None:
        self._sizes.popitem(last=False)[1].free()

    def _halve(self, rows: int) -> None:
        if rows // 2 < self._least:
            raise UserError(
                f"{self.path}: the GPU has no memory for {rows} rows, the smallest batch of this engine; free memory, "
                f"or {rebuild(self.path, self.artifact, self.facts)}"
            )
        self._most = rows // 2
        warnings.warn(f"`batch={rows}`: the GPU has no memory for it; continuing with {self._most}", stacklevel=2)


def _port(trt: Any, engine: Any, name: str) -> Port:
    dtype = engine.get_tensor_dtype(name)
    shape = tuple(None if size == -1 else size for size in engine.get_tensor_shape(name))
    return Port(name, "float32" if dtype == trt.DataType.FLOAT else str(dtype), shape)


def _joined(parts: Sequence[Maps]) -> Maps:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def load_module(path: Path, facts: EngineFacts) -> Any:
    """The Python module that an engine needs; raises UserError with the pip command where it is missing."""
    name = facts.module
    if name not in MODULES:
        raise UserError(f"{path}: built by {name}, which this version does not support: upgrade sgi-engine")
    remedy = f'pip install "sgi-engine[{MODULES[name]}]"'
    if not is_installed(name):
        raise UserError(f"{path}: needs {name} {facts.version}, which is not installed: {remedy}")
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{path}: {name} does not import ({error}): {remedy}") from None
