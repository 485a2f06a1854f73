"""The table of backends: one row for each, and the rows of plugins.

A row states everything that is needed to choose a backend, so that choosing imports no runtime. A new backend is one
file beside this one and one row here. Another package adds a row by an entry point that names a `BackendRow`:

    [project.entry-points."sgi_engine.backends"]
    mine = "my_package.my_backend:ROW"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sgi.engine.artifact import ONNX_SUFFIX, SIDECAR_SUFFIXES
from sgi.engine.errors import UserError
from sgi.engine.plugins import BACKENDS as GROUP
from sgi.engine.plugins import load_plugin, names_with_plugins

AUTO = "auto"


class BackendImportError(UserError):
    """A backend whose package is installed and does not import; with `backend=auto` the next one is opened."""


@dataclass(frozen=True)
class BackendRow:
    """How to open a backend, and what it supports.

    target: `module:Class` of a `Backend`; the module is imported when the backend is opened.
    package: the module that must be installed; None for a backend that checks its own needs when it opens a file.
    install: device -> argument of `pip install` for it; its keys are the devices that the backend supports.
    suffixes: of the model files it runs.
    lacks: pairs (device, precision) of models that it cannot run.
    casts: pairs (device, precision) in which it can run models of any precision.
    stream_target: as `target`, for many passes after one another; None for the same.
    """

    target: str
    package: str | None
    install: Mapping[str, str]
    suffixes: tuple[str, ...]
    lacks: tuple[tuple[str, str], ...] = ()
    casts: tuple[tuple[str, str], ...] = ()
    stream_target: str | None = None

    @property
    def is_installed(self) -> bool:
        """Whether the package that the backend needs is installed."""
        return self.package is None or is_installed(self.package)

    def load(self, name: str, device: str, is_stream: bool = False) -> Any:
        """The class of the backend, imported; raises UserError with the remedy where that fails: BackendImportError
        for a package that is installed.

        is_stream: that for many passes after one another.
        """
        remedy = f'pip install "{self.install[device]}"'
        if not self.is_installed:
            raise UserError(f"backend {name} is not installed: {remedy}")
        module, _, attribute = ((is_stream and self.stream_target) or self.target).partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ImportError as error:
            raise BackendImportError(f"backend {name} does not import ({error}): {remedy}") from None


_HERE = "sgi.engine.backends"
_CPU, _GPU, _TENSORRT = "sgi-engine[cpu]", "sgi-engine[gpu]", "sgi-engine[tensorrt]"
_NATIVE = "sgi-engine[native]"

# In the order in which `auto` prefers them, but that an installed `NATIVE` comes first. Where none is installed, the
# message names the first, whose package every machine can install.
BACKENDS = {
    "openvino": BackendRow(
        f"{_HERE}.openvino:OpenVinoBackend", "openvino", {"cpu": _CPU}, (ONNX_SUFFIX,), casts=(("cpu", "bf16"),),
        stream_target=f"{_HERE}.openvino_streams:OpenVinoStreams",
    ),
    "onnxruntime": BackendRow(
        f"{_HERE}.onnxruntime:OnnxRuntimeBackend", "onnxruntime", {"cpu": _CPU, "cuda": _GPU, "tensorrt": _GPU},
        (ONNX_SUFFIX,), lacks=(("cpu", "bf16"),),
    ),
    "tensorrt": BackendRow(
        f"{_HERE}.tensorrt:TensorRtBackend", None, {"cuda": _TENSORRT, "tensorrt": _TENSORRT}, SIDECAR_SUFFIXES
    ),
    "cpu": BackendRow(
        f"{_HERE}.cpu:CpuBackend", "sgi_cpu", {"cpu": _NATIVE}, (ONNX_SUFFIX,),
        lacks=(("cpu", "fp16"), ("cpu", "bf16")), casts=(("cpu", "bf16"),),
        stream_target=f"{_HERE}.cpu_streams:CpuStreams",
    ),
}  # fmt: skip


NATIVE = "cpu"


def backend_names() -> tuple[str, ...]:
    """Names of the built-in backends and of those that plugins add."""
    return names_with_plugins(GROUP, BACKENDS)


def find_backend(name: str) -> BackendRow:
    """The row of a backend; raises UserError for an unknown name and for a plugin that does not provide a row."""
    if name in BACKENDS:
        return BACKENDS[name]
    row = load_plugin(GROUP, name)
    if row is None:
        raise UserError(f"`backend={name}`: choose from {', '.join((AUTO, *backend_names()))}")
    if not isinstance(row, BackendRow):
        raise UserError(f"`backend={name}`: its plugin provides a {type(row).__name__}, not a BackendRow")
    return row


def is_installed(package: str) -> bool:
    """Whether a top-level Python module is installed, without importing it."""
    # Uninstalling one of onnxruntime and onnxruntime-gpu leaves an empty folder, which imports as a namespace.
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
