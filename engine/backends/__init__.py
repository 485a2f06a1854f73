"""Runtimes behind one small Protocol, chosen by name and imported on demand.

A backend that is not installed, a file it cannot run and a device that is not there are each a UserError with
the remedy; nothing falls back in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from sgi.engine.artifact import ONNX_SUFFIX, SIDECAR_SUFFIXES, Artifact
from sgi.engine.errors import UserError
from sgi.engine.gpu import find_gpus

AUTO = "auto"
DEVICES = ("cpu", "cuda", "tensorrt")
DEFAULT_BATCH = 8
# What `precision` may ask of a model of any other one.
PRECISIONS = ("bf16",)
# OpenVINO makes an image about a third faster than ONNX Runtime and starts 0.6 s later: by benchmarks/throughput.py and
# startup.py it wins from some 200 images of the bundled 64 px model, and from some 20 of a 256 px one.
FEW_IMAGES = 32


class Backend(Protocol):
    """A loaded model. Not thread-safe: one thread runs it at a time."""

    name: str
    device: str
    artifact: Artifact

    def run(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """Generate one batch.

        z: [N, z_dim] float32. psi: truncation. label: [N, c_dim] float32, one-hot, if and only if c_dim > 0.
        types: outputs to compute, None for those the backend was opened with; the others cost nothing.
        Gives {type: [N, C, R, R] float32}, arrays that the caller owns. A new N may cost a compilation.
        """
        ...

    def close(self) -> None:
        """Free the model; the backend cannot run any more."""
        ...


@runtime_checkable
class Overlapping(Backend, Protocol):
    """A backend that computes a batch while the maps of the one before are copied to the host and used there."""

    def start(
        self,
        z: np.ndarray,
        psi: float,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """Begin one batch as `run` does it; gives what waits for its maps and gives them.

        Two batches overlap; a third first waits for the maps of the first, which are kept until they are asked for.
        """
        ...


@dataclass(frozen=True)
class _Entry:
    """How to find a backend: its class, the package it needs, the pip extra that brings it, what it can do."""

    module: str
    factory: str
    package: str | None  # None: the backend finds out from the file what it needs
    extras: Mapping[str, str]  # device -> pip extra
    suffixes: tuple[str, ...]
    lacks: tuple[tuple[str, str], ...] = ()  # (device, precision) that it has no kernels for
    casts: tuple[tuple[str, str], ...] = ()  # (device, precision) that it can run a model of any other in


_BACKENDS = {
    "openvino": _Entry(
        "sgi.engine.backends.openvino",
        "OpenVinoBackend",
        "openvino",
        {"cpu": "cpu"},
        (ONNX_SUFFIX,),
        casts=(("cpu", "bf16"),),
    ),
    "onnxruntime": _Entry(
        "sgi.engine.backends.onnxruntime",
        "OnnxRuntimeBackend",
        "onnxruntime",
        {"cpu": "cpu", "cuda": "gpu", "tensorrt": "gpu"},
        (ONNX_SUFFIX,),
        lacks=(("cpu", "bf16"),),
    ),
    "tensorrt": _Entry(
        "sgi.engine.backends.tensorrt",
        "TensorRtBackend",
        None,
        {"cuda": "tensorrt", "tensorrt": "tensorrt"},
        SIDECAR_SUFFIXES,
    ),
}
BACKENDS = tuple(_BACKENDS)


def open_backend(
    path: str | Path,
    backend: str = AUTO,
    device: str = AUTO,
    types: Iterable[str] | None = None,
    batch: int = DEFAULT_BATCH,
    threads: int | None = None,
    images: int | None = None,
    precision: str | None = None,
) -> Backend:
    """Load an exported model.

    backend: a name of BACKENDS, or auto: the faster one installed for `images` images (None: many) on the device.
    device: cpu, cuda, tensorrt (of ONNX Runtime for an .onnx), or auto: tensorrt for an engine, cuda where an NVIDIA
    driver and a CUDA build of a backend are, else cpu.
    types: outputs to load (None: all). batch: rows that most calls will have. threads: CPU threads, None for all cores.
    precision: bf16 is faster on a CPU that has it and far less exact than what the model was verified to; None is the
    model's own.

    Raises UserError for a file that is no model of ours, a backend that is not installed or cannot run the file,
    a device that is not there, and a precision that it does not have.
    """
    path = Path(path)
    artifact = Artifact.read(path)
    chosen = artifact.choose_types(types)
    device = _choose_device(device, path.suffix)
    if precision is not None:
        backend = _casting(backend, device, precision)
    name = _choose_backend(backend, device, path, images, artifact.precision)
    factory = getattr(_import(name, device), _BACKENDS[name].factory)
    options = {} if precision is None else {"precision": precision}
    return factory(path, artifact, device=device, types=chosen, batch=batch, threads=threads, **options)


def installed_backends(path: str | Path, device: str, precision: str | None = None) -> tuple[str, ...]:
    """Names of the installed backends that run a file of this suffix on `device` (cpu or cuda), in this precision."""
    suffix = Path(path).suffix
    return tuple(
        name
        for name, entry in _BACKENDS.items()
        if suffix in entry.suffixes and device in entry.extras and _is_installed(entry.package)
        if (device, precision) not in entry.lacks
    )


def devices_of(backend: str) -> tuple[str, ...]:
    """Devices that a backend has anywhere."""
    return tuple(_BACKENDS[backend].extras)


def runs(backend: str, path: str | Path) -> bool:
    """Whether a backend runs files of this suffix."""
    return Path(path).suffix in _BACKENDS[backend].suffixes


def missing(backend: str, device: str) -> str | None:
    """What a backend lacks to be imported, as one line with the remedy; None if nothing."""
    try:
        _import(backend, device)
    except UserError as error:
        return str(error)
    return None


def pad_rows(rows: np.ndarray, missing: int) -> np.ndarray:
    """Append `missing` copies of the last row: [N, W] -> [N + missing, W]."""
    return np.pad(rows, ((0, missing), (0, 0)), mode="edge") if missing else rows


def check_inputs(path: Path, artifact: Artifact, shapes: Mapping[str, Sequence[object]]) -> None:
    """Compare a loaded model's inputs, {name: shape}, with its description; raises UserError where they differ."""
    expected = {"psi": [], "z": [artifact.z_dim]} | ({"label": [artifact.c_dim]} if artifact.c_dim else {})
    batched = {name: list(shape)[1:] if name in ("z", "label") else list(shape) for name, shape in shapes.items()}
    if batched != expected:
        raise UserError(f"{path}: its inputs are not those its description gives; export it again")


def load_error(path: Path, runtime: str, error: Exception) -> UserError:
    """Turn a runtime's exception at loading into one line."""
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path}: {runtime} cannot load it ({reason}); export it again, or choose another --backend")


def has_nvidia_driver() -> bool:
    """Tell whether an NVIDIA driver with at least one device is there, without loading a framework."""
    return bool(find_gpus())


def _choose_device(device: str, suffix: str = ONNX_SUFFIX) -> str:
    if device == AUTO and suffix in SIDECAR_SUFFIXES:
        return "tensorrt"  # the backend says what an engine lacks here
    if device == AUTO:
        return "cuda" if has_nvidia_driver() and _has_cuda_build() else "cpu"
    if device not in DEVICES:
        raise UserError(f"--device {device}: choose from {', '.join((AUTO, *DEVICES))}")
    if device != "cpu" and not has_nvidia_driver():
        raise UserError(f"--device {device}: no NVIDIA GPU with a driver is here; use --device cpu")
    return device


def _has_cuda_build() -> bool:
    if not _is_installed("onnxruntime"):
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _choose_backend(
    backend: str, device: str, path: Path, images: int | None = None, precision: str | None = None
) -> str:
    if backend != AUTO:
        if backend not in _BACKENDS:
            raise UserError(f"--backend {backend}: choose from {', '.join((AUTO, *BACKENDS))}")
        entry = _BACKENDS[backend]
        if path.suffix not in entry.suffixes:
            raise UserError(f"--backend {backend}: it cannot run {path.name}; it runs {', '.join(entry.suffixes)}")
        if device not in entry.extras:
            raise UserError(f"--backend {backend}: it has no device {device}; use --device {'|'.join(entry.extras)}")
        if (device, precision) in entry.lacks:
            raise UserError(
                f"--backend {backend}: it has no {precision} on {device}; export {path.name} as fp32 or fp16"
            )
        return backend
    able = [
        name
        for name, e in _BACKENDS.items()
        if path.suffix in e.suffixes and device in e.extras and (device, precision) not in e.lacks
    ]
    if not able:
        raise UserError(f"{path}: no backend of this version runs {path.suffix} on {device}; use an .onnx export")
    if images is not None and images <= FEW_IMAGES:
        able.sort(key=lambda name: name != "onnxruntime")
    installed = [name for name in able if _is_installed(_BACKENDS[name].package)]
    return (installed or able)[0]


def _casting(backend: str, device: str, precision: str) -> str:
    """The backend itself, or for auto the one that runs any model in `precision` on `device`."""
    if precision not in PRECISIONS:
        raise UserError(
            f"--precision {precision}: choose {' or '.join(PRECISIONS)}, or leave it out for the model's own"
        )
    able = [name for name, entry in _BACKENDS.items() if (device, precision) in entry.casts]
    if not able:
        raise UserError(f"--precision {precision}: for a CPU; use --device cpu, or export the model in it")
    if backend not in (AUTO, *able):
        raise UserError(
            f"--precision {precision}: --backend {backend} does not have it; use --backend {'|'.join(able)}"
        )
    return able[0]


def _import(name: str, device: str) -> object:
    entry = _BACKENDS[name]
    remedy = f'pip install "sgi-engine[{entry.extras[device]}]"'
    if not _is_installed(entry.package):
        raise UserError(f"backend {name} is not installed: {remedy}")
    try:
        return import_module(entry.module)
    except ImportError as error:
        raise UserError(f"backend {name} does not import ({error}): {remedy}") from None


def _is_installed(package: str | None) -> bool:
    if package is None:
        return True
    # Uninstalling one of onnxruntime and onnxruntime-gpu leaves an empty folder, which imports as a namespace.
    spec = find_spec(package)
    return spec is not None and spec.origin is not None
