"""TensorRT and TensorRT-RTX engines: buffers and a CUDA graph for each batch size, outputs on the host or the GPU.

An engine computes every type it was built with; types nobody asked for are not copied.
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends import check_inputs
from sgi.engine.backends.cuda_memory import CudaMemory, OutOfDeviceMemoryError, open_memory
from sgi.engine.backends.device_array import DeviceArray
from sgi.engine.backends.engine_file import MODULES, EngineFacts, is_installed, rebuild
from sgi.engine.errors import UserError
from sgi.engine.gpu import find_gpus

# Each has its own buffers and scratch memory: few sizes are worth keeping.
_SIZES_KEPT = 2


class TensorRtBackend:
    """An engine on the first GPU; see `sgi.engine.backends.Backend`."""

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
        self._path = path
        self._types = types
        self.facts = EngineFacts.read(path)
        self.facts.check_gpu(path, artifact, find_gpus())
        trt = load_module(path, self.facts)
        self.facts.check_version(path, artifact, trt.__version__)
        self._logger = trt.Logger(trt.Logger.ERROR)
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._engine is None:
            raise UserError(f"{path}: {self.facts.module} refuses it; {rebuild(path, artifact, self.facts)}")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == trt.TensorIOMode.INPUT]
        check_inputs(path, artifact, {name: tuple(self._engine.get_tensor_shape(name)) for name in inputs})
        self._memory = open_memory()
        self._sizes: OrderedDict[int, _Bound] = OrderedDict()
        self._least, _, self._most = self.facts.batch

    def run(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`; more rows than the engine takes are run in parts."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        parts: list[dict[str, np.ndarray]] = []
        start = 0
        while start < len(z):
            stop = min(start + self._most, len(z))
            bound = self._bound(stop - start)
            if bound is None:
                continue  # the largest batch was halved
            rows = None if label is None else label[start:stop]
            bound.run(z[start:stop], psi, rows)
            parts.append(bound.on_host(chosen, stop - start))
            start = stop
        return parts[0] if len(parts) == 1 else {name: np.concatenate([p[name] for p in parts]) for name in chosen}

    def run_on_device(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, DeviceArray]:
        """As `run`, leaving the maps on the GPU, where they are valid until the next run of this many rows.

        Raises UserError for more rows than the engine takes at once.
        """
        chosen = self._types if types is None else self.artifact.choose_types(types)
        bound = self._bound(len(z)) if len(z) <= self._most else None
        if bound is None:
            raise UserError(f"--batch {len(z)}: {self._path.name} takes at most {self._most} rows at once here")
        bound.run(z, psi, label)
        return bound.on_device(chosen, len(z))

    def close(self) -> None:
        """See `Backend.close`."""
        while self._sizes:
            self._sizes.popitem()[1].free()

    def _bound(self, rows: int) -> _Bound | None:
        """Buffers for at least `rows`; None after halving the largest batch, because the GPU had no memory for it."""
        rows = max(rows, self._least)
        if rows in self._sizes:
            self._sizes.move_to_end(rows)
            return self._sizes[rows]
        while len(self._sizes) >= _SIZES_KEPT:
            self._sizes.popitem(last=False)[1].free()
        try:
            self._sizes[rows] = _Bound(self._engine, self._memory, self.artifact, rows)
        except OutOfDeviceMemoryError:
            if rows // 2 < self._least:
                raise UserError(
                    f"{self._path}: the GPU has no memory for {rows} rows, the least this engine runs; free some, or "
                    f"{rebuild(self._path, self.artifact, self.facts)}"
                ) from None
            self._most = rows // 2
            warnings.warn(f"--batch {rows}: the GPU has no memory for it; going on with {self._most}", stacklevel=2)
            return None
        return self._sizes[rows]


class _Bound:
    """An execution context for one batch size, its buffers, and the graph that replays it."""

    def __init__(self, engine: Any, memory: CudaMemory, artifact: Artifact, rows: int) -> None:
        self._memory = memory
        self._addresses: dict[str, int] = {}
        side = artifact.resolution
        self._inputs = {"z": (rows, artifact.z_dim), "psi": ()} | (
            {"label": (rows, artifact.c_dim)} if artifact.c_dim else {}
        )
        self._outputs = {o.name: (rows, o.channels, side, side) for o in artifact.types}
        shapes = {**self._inputs, **self._outputs}
        try:
            for name, shape in shapes.items():
                self._addresses[name] = memory.allocate(4 * math.prod(shape))
            self._host = {name: memory.pinned(shape) for name, shape in shapes.items()}
            # None is TensorRT's only word for a context that it found no scratch memory for.
            self._context = engine.create_execution_context()
            if self._context is None:
                raise OutOfDeviceMemoryError
        except OutOfDeviceMemoryError:
            self.free()
            raise
        for name, shape in self._inputs.items():
            self._context.set_input_shape(name, shape)
        for name, address in self._addresses.items():
            self._context.set_tensor_address(name, address)
        self._replay: Callable[[], None] | None = None
        self._runs = 0

    def run(self, z: np.ndarray, psi: float, label: np.ndarray | None) -> None:
        """Enqueue one batch; rows that are missing are copies of the last."""
        self._host["psi"][...] = psi
        for name, value in (("z", z), ("label", label)):
            if value is not None:
                self._host[name][: len(value)] = value
                self._host[name][len(value) :] = value[-1]
        for name in self._inputs:
            self._memory.to_device(self._addresses[name], self._host[name])
        # The first run of a shape allocates and tunes, which no graph may hold; the second is recorded.
        if self._runs == 1 and self._capturable():
            self._replay = self._memory.capture(self._enqueue)
        self._runs += 1
        if self._replay is None:
            self._enqueue()
        else:
            self._replay()

    def on_host(self, types: Sequence[str], rows: int) -> dict[str, np.ndarray]:
        """Maps of the last run as arrays of the caller's own."""
        for name in types:
            self._memory.to_host(self._host[name], self._addresses[name])
        self._memory.synchronize()
        return {name: self._host[name][:rows].copy() for name in types}

    def on_device(self, types: Sequence[str], rows: int) -> dict[str, DeviceArray]:
        """Maps of the last run where they are."""
        memory = self._memory
        return {
            name: DeviceArray(
                (rows, *self._outputs[name][1:]), self._addresses[name], memory.stream, wait=memory.synchronize
            )
            for name in types
        }

    def free(self) -> None:
        """Give the buffers back."""
        while self._addresses:
            self._memory.free(self._addresses.popitem()[1])

    def _capturable(self) -> bool:
        # Only TensorRT-RTX has the question, because it may compile kernels at any run.
        asked = getattr(self._context, "is_stream_capturable", None)
        return asked is None or bool(asked(self._memory.stream))

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(self._memory.stream):
            raise RuntimeError("TensorRT could not enqueue the batch; its log on stderr says why")


def load_module(path: Path, facts: EngineFacts) -> Any:
    """The Python module that an engine needs; raises UserError with the pip extra where it is missing."""
    name = facts.module
    if name not in MODULES:
        raise UserError(f"{path}: built by {name}, which this version does not know: upgrade sgi-engine")
    remedy = f'pip install "sgi-engine[{MODULES[name]}]"'
    if not is_installed(name):
        raise UserError(f"{path}: needs {name} {facts.version}, which is not installed: {remedy}")
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{path}: {name} does not import ({error}): {remedy}") from None
