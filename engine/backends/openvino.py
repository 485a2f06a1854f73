"""OpenVINO on the CPU: slow to start, and the fastest CPU runtime afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from sgi.engine.artifact import Artifact
from sgi.engine.backends.backend import check_inputs, load_error
from sgi.engine.errors import UserError
from sgi.engine.onnx_wire import keep_outputs

_COMPILED_KEPT = 4


class OpenVinoBackend:
    """A model in OpenVINO, with one compiled model for each batch size and requested set of outputs.

    The batch is static because a dynamic batch is slower. Compiled models are not cached on disk, because a cache saves
    little of the start and stores the weights for each batch size. See docs/experiments.md, OpenVINO settings.
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
        self._path = path
        self._types = types
        self._core = openvino.Core()
        if precision == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise UserError(f"`precision={precision}`: this CPU does not support it; leave it out")
        # On CPUs that support bfloat16 it is OpenVINO's default, with errors of 1e-2.
        hint = precision or "f32"
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._request = lru_cache(maxsize=_COMPILED_KEPT)(self._compile)
        self._request(types, batch)

    def run(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        request = self._request(chosen, len(z))
        inputs = {"z": z, "psi": np.array(psi, np.float32)} | ({} if label is None else {"label": label})
        request.infer(inputs)
        return {name: request.get_tensor(name).data.copy() for name in chosen}

    def close(self) -> None:
        """See `Backend.close`."""
        self._request.cache_clear()

    def _compile(self, types: tuple[str, ...], batch: int) -> Any:
        try:
            model = self._core.read_model(keep_outputs(self._path.read_bytes(), types), b"")
            check_inputs(self._path, self.artifact, {i.any_name: _shape(i.partial_shape) for i in model.inputs})
            widths = {"z": self.artifact.z_dim, "label": self.artifact.c_dim}
            model.reshape({name: [batch, width] for name, width in widths.items() if width})
            return self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        except RuntimeError as error:
            raise load_error(self._path, "OpenVINO", error) from None


def _shape(shape: Any) -> list[int | None]:
    return [dimension.get_length() if dimension.is_static else None for dimension in shape]
