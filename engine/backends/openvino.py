"""OpenVINO on the CPU: slow to start, and the fastest CPU runtime afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import openvino

from sgi.engine.artifact import Artifact
from sgi.engine.backends.backend import inputs_of, load_error
from sgi.engine.backends.ports import Port, check_ports
from sgi.engine.errors import UserError
from sgi.engine.mapping import MappingNetwork, read_mapping
from sgi.engine.model_file import read_model
from sgi.engine.onnx_wire import keep_outputs
from sgi.engine.rows import pad_rows

# Compiled models in memory: both sizes of several sets of outputs.
_COMPILED_KEPT = 8
# A remainder of more than this share of a batch runs as one padded batch, a smaller one row by row: on two cores a row
# costs 1.27 times as much alone as in a batch of 8 (bundled model).
_PADDED_SHARE = 0.75


class OpenVinoBackend:
    """A model in OpenVINO, compiled for two batch sizes, 1 and `batch`, whatever sizes the calls have.

    The batch is static because a dynamic batch is slower, and a compilation takes about 1 s of CPU time, so a call of
    another size is cut into rows and batches. A compiled model has one infer request and one lock. See
    docs/experiments.md, "OpenVINO settings" and "OpenVINO with several threads".
    """

    name = "openvino"

    def __init__(
        self,
        path: Path,
        artifact: Artifact,
        *,
        device: str,
        types: tuple[str, ...],
        batch: int,
        threads: int | None = None,
        precision: str | None = None,
    ) -> None:
        self.device = device
        self.artifact = artifact
        self.path = path
        self._types = types
        self._batch = batch
        self._threads = threads
        self._core = openvino.Core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UserError(f"`precision={precision}`: this CPU does not support it; leave it out")
        # On CPUs that support bfloat16 it is OpenVINO's default, with errors of 1e-2.
        hint = precision or "f32"
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._compiling = Lock()
        self._compiled = lru_cache(maxsize=_COMPILED_KEPT)(self._compile)
        self._prepare()

    def run(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        inputs = inputs_of(self.artifact, latent, psi, label)
        parts = []
        for size, start, stop in passes(len(latent), self._batch):
            with self._compiling:
                model = self._compiled(chosen, size)
            rows = slice(start, stop)
            parts.append(model.run({name: value[rows] if value.ndim else value for name, value in inputs.items()}))
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in chosen}

    def mapping(self) -> MappingNetwork:
        """See `Mapped.mapping`."""
        return read_mapping(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._compiled.cache_clear()

    def _prepare(self) -> None:
        """Compile what the first pass needs, so that a model that cannot run is refused when it is opened."""
        self._compiled(self._types, self._batch)

    def _compile(self, types: tuple[str, ...], batch: int) -> _Compiled:
        return _Compiled(self._compiled_model(types, batch, self._settings), types, batch)

    def _compiled_model(self, types: tuple[str, ...], batch: int, settings: dict[str, Any]) -> Any:
        """OpenVINO's compiled model with the outputs `types` and a static batch."""
        try:
            model = self._core.read_model(keep_outputs(read_model(self.path, self.artifact), types), b"")
            check_ports(self.path, self.artifact, map(_port, model.inputs), map(_port, model.outputs), types)
            model.reshape({name: [batch, *shape[1:]] for name, shape in self.artifact.inputs.items() if shape})
            return self._core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise load_error(self.path, "OpenVINO", error) from None


class _Compiled:
    """One compiled model of a fixed batch size, which threads use in turn."""

    def __init__(self, model: Any, types: tuple[str, ...], batch: int) -> None:
        self._request = model.create_infer_request()
        self._types = types
        self._batch = batch
        self._lock = Lock()

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Maps of at most `batch` rows, which are padded to `batch`."""
        count = max(len(value) for value in inputs.values() if value.ndim)
        padded = {n: pad_rows(value, self._batch - count) if value.ndim else value for n, value in inputs.items()}
        with self._lock:
            self._request.infer(padded)
            return {name: self._request.get_tensor(name).data[:count].copy() for name in self._types}


def passes(count: int, batch: int) -> list[tuple[int, int, int]]:
    """How `count` rows run as passes of `batch` rows or of one: (size, first row, end) of each."""
    whole = count - count % batch
    cuts = [(batch, start, start + batch) for start in range(0, whole, batch)]
    left = count - whole
    if left > _PADDED_SHARE * batch:
        return [*cuts, (batch, whole, count)]
    return [*cuts, *((1, row, row + 1) for row in range(whole, count))]


def _port(value: Any) -> Port:
    shape = value.partial_shape
    dtype = "float32" if value.element_type == openvino.Type.f32 else value.element_type.to_string()
    if shape.rank.is_dynamic:
        return Port(value.any_name, f"{dtype} of any rank", ())
    return Port(value.any_name, dtype, tuple(size.get_length() if size.is_static else None for size in shape))
