"""ONNX Runtime: CPU, and CUDA or TensorRT where onnxruntime-gpu is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from sgi.engine.artifact import Artifact
from sgi.engine.backends.backend import inputs_of, load_error
from sgi.engine.backends.cuda_libraries import load_cuda_libraries, missing_libraries
from sgi.engine.backends.device_array import DeviceArray
from sgi.engine.backends.ports import Port, check_map_port, check_ports
from sgi.engine.errors import UserError
from sgi.engine.mapping import MappingNetwork, read_mapping
from sgi.engine.model_file import read_model
from sgi.engine.onnx_wire import keep_outputs

_ERRORS_ONLY = 3
_SESSIONS_KEPT = 8  # a viewer asks for each type alone and for the others together
# TF32 has 10 bits of mantissa, and its errors exceed the bound that models are verified to.
_CUDA = ("CUDAExecutionProvider", {"use_tf32": "0"})
_CPU: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
_PROVIDERS: dict[str, list[tuple[str, dict[str, str]]]] = {
    "cpu": [_CPU],
    "cuda": [_CUDA, _CPU],
    "tensorrt": [("TensorrtExecutionProvider", {}), _CUDA, _CPU],
}
_REMEDIES = {
    "cuda": 'cannot use the GPU; pip uninstall onnxruntime and pip install "sgi-engine[gpu]", or use `device=cpu`',
    "tensorrt": "cannot use TensorRT, of which it needs version 10; build an engine with "
    "`sgi-engine export --format tensorrt`, or use `device=cuda`",
}


class OnnxRuntimeBackend:
    """A model in ONNX Runtime, with one session for each requested set of outputs."""

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
        self.path = path
        self._types = types
        self._threads = threads
        self._check_device(onnxruntime.get_available_providers())
        # Before the first session on a GPU, so that it finds CUDA and cuDNN in their Python packages.
        self._problem = "" if device == "cpu" else load_cuda_libraries(onnxruntime)
        self._session = lru_cache(maxsize=_SESSIONS_KEPT)(self._load)
        self._session(types)

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
        if self.device == "cpu":
            return dict(zip(chosen, self._session(chosen).run(list(chosen), inputs), strict=True))
        return {name: value.numpy() for name, value in self._run_bound(chosen, inputs).items()}

    def run_on_device(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, DeviceArray]:
        """See `OnDevice.run_on_device`; each run has memory of its own. Only on a GPU."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        values = self._run_bound(chosen, inputs_of(self.artifact, latent, psi, label))
        for name, value in values.items():
            check_map_port(self.path, self.artifact, _as_port(name, value.data_type(), value.shape()), len(latent))
        return {name: DeviceArray(tuple(v.shape()), v.data_ptr(), None, owner=v) for name, v in values.items()}

    def mapping(self) -> MappingNetwork:
        """See `Mapped.mapping`."""
        return read_mapping(self.path)

    def close(self) -> None:
        """See `Backend.close`."""
        self._session.cache_clear()

    def _run_bound(self, types: tuple[str, ...], inputs: dict[str, np.ndarray]) -> dict[str, Any]:
        """The outputs as values in GPU memory."""
        session = self._session(types)
        binding = session.io_binding()
        for name, value in inputs.items():
            binding.bind_cpu_input(name, value)
        for name in types:
            binding.bind_output(name, "cuda")
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return dict(zip(types, binding.get_outputs(), strict=True))

    def _load(self, types: tuple[str, ...]) -> Any:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = self._threads or 0
        # Between two runs the cores are needed for encoding the maps.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        model = read_model(self.path, self.artifact)
        if set(types) != set(self.artifact.type_names):
            model = keep_outputs(model, types)
        try:
            session = onnxruntime.InferenceSession(model, options, providers=_PROVIDERS[self.device])
        except Exception as error:
            raise load_error(self.path, "ONNX Runtime", error) from None
        # A CUDA session that cannot start falls back to the CPU without an exception.
        self._check_device(session.get_providers(), self._problem)
        inputs, outputs = map(_port, session.get_inputs()), map(_port, session.get_outputs())
        check_ports(self.path, self.artifact, inputs, outputs, types)
        return session

    def _check_device(self, providers: Sequence[str], problem: str = "") -> None:
        if _PROVIDERS[self.device][0][0] in providers:
            return
        if problem:
            raise UserError(f"`device={self.device}`: {missing_libraries(problem)}")
        raise UserError(f"`device={self.device}`: this ONNX Runtime {_REMEDIES[self.device]}")


def _port(value: Any) -> Port:
    return _as_port(value.name, value.type, value.shape)


def _as_port(name: str, kind: str, shape: Sequence[Any]) -> Port:
    # kind: such as `tensor(float)`; a size without a fixed value is a name or None.
    dtype = "float32" if kind == "tensor(float)" else kind.removeprefix("tensor(").removesuffix(")")
    return Port(name, dtype, tuple(size if isinstance(size, int) else None for size in shape))
