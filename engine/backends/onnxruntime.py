"""ONNX Runtime: CPU, and CUDA where onnxruntime-gpu is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sgi.engine.artifact import Artifact
from sgi.engine.backends import check_inputs, load_error
from sgi.engine.errors import UserError
from sgi.engine.onnx_wire import keep_outputs

_ERRORS_ONLY = 3
_SESSIONS_KEPT = 4
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class OnnxRuntimeBackend:
    """A model in ONNX Runtime; one session for each set of outputs that is asked for."""

    name = "onnxruntime"

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
        self._threads = threads
        self._check_device(onnxruntime.get_available_providers())
        self._session = lru_cache(maxsize=_SESSIONS_KEPT)(self._load)
        self._session(types)

    def run(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """See `Backend.run`."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        inputs = {"z": z, "psi": np.array(psi, np.float32)} | ({} if label is None else {"label": label})
        return dict(zip(chosen, self._session(chosen).run(list(chosen), inputs), strict=True))

    def close(self) -> None:
        """See `Backend.close`."""
        self._session.cache_clear()

    def _load(self, types: tuple[str, ...]) -> Any:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self._threads or 0
        # Between two runs the cores belong to whoever encodes the maps.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        try:
            whole = set(types) == set(self.artifact.type_names)
            model = str(self._path) if whole else keep_outputs(self._path.read_bytes(), types)
            session = onnxruntime.InferenceSession(model, options, providers=self._providers())
        except Exception as error:
            raise load_error(self._path, "ONNX Runtime", error) from None
        # A CUDA session that cannot start falls back to the CPU without an exception.
        self._check_device(session.get_providers())
        check_inputs(self._path, self.artifact, {value.name: value.shape for value in session.get_inputs()})
        return session

    def _providers(self) -> list[Any]:
        if self.device == "cuda":
            # TF32 keeps 10 bits of mantissa: more error than the parity a model is verified to.
            return [(_CUDA, {"use_tf32": "0"}), _CPU]
        return [_CPU]

    def _check_device(self, providers: Sequence[str]) -> None:
        if self.device == "cuda" and _CUDA not in providers:
            raise UserError(
                "--device cuda: this ONNX Runtime cannot use the GPU; pip uninstall onnxruntime and "
                'pip install "sgi-engine[gpu]", or use --device cpu'
            )
