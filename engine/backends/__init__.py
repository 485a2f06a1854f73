"""Backends: runtimes behind one interface (`backend.Backend`), chosen by name and imported on demand.

A backend that is not installed, a file that it cannot run and a device that is not available each raise a UserError
with the remedy. Nothing is replaced by something else without a message.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from sgi.engine.arguments import check_path, check_text, check_threads
from sgi.engine.artifact import ONNX_SUFFIX, SIDECAR_SUFFIXES, Artifact
from sgi.engine.backends.backend import Backend, Coding, Mapped, OnDevice, Overlapping, UnsupportedModelError
from sgi.engine.backends.table import (
    AUTO,
    BACKENDS,
    NATIVE,
    BackendImportError,
    BackendRow,
    backend_names,
    find_backend,
    is_installed,
)
from sgi.engine.errors import UserError
from sgi.engine.gpu import has_gpu
from sgi.engine.model_file import taking

__all__ = [
    "AUTO",
    "BACKENDS",
    "DEFAULT_BATCH",
    "DEVICES",
    "FEW_IMAGES",
    "PRECISIONS",
    "Backend",
    "BackendRow",
    "Coding",
    "Mapped",
    "OnDevice",
    "Overlapping",
    "UnsupportedModelError",
    "backend_names",
    "choose_backend",
    "devices_of",
    "has_nvidia_driver",
    "installed_backends",
    "missing",
    "open_backend",
    "runs",
]

# Unless this is set when ONNX Runtime is imported, it sends events to its maker from version 1.29 on, and writes files
# into the user's cache folder. Users who want that set ORT_DISABLE_TELEMETRY=0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

DEVICES = ("cpu", "cuda", "tensorrt")
DEFAULT_BATCH = 8
PRECISIONS = ("bf16",)
"""Precisions in which a model of any other precision can be run."""
MODEL_PRECISIONS = ("fp32", "fp16", "bf16")
"""Precisions of exported models."""
FEW_IMAGES = 32
"""Up to this number of images `auto` prefers ONNX Runtime to OpenVINO, which starts slower and runs faster.

See docs/experiments.md, "Number of images from which OpenVINO is faster".
"""


def open_backend(
    path: str | Path,
    backend: str = AUTO,
    device: str = AUTO,
    types: str | Iterable[str] | None = None,
    batch: int = DEFAULT_BATCH,
    threads: int | None = None,
    images: int | None = None,
    precision: str | None = None,
    input: str | None = None,
    is_stream: bool = False,
) -> Backend:
    """Load an exported model.

    backend: a name of `backend_names()`, or auto: of the installed built-in backends that import and can run the model,
    the fastest for `images` images (None: many) on the device. Its attribute `remark` says why others were passed over.
    device: cpu, cuda, tensorrt (for an .onnx: ONNX Runtime's TensorRT provider), or auto: tensorrt for an engine, cuda
    where an NVIDIA driver and a CUDA build of a backend are installed, otherwise cpu.
    types: outputs to load, None for all. batch: number of rows of most calls. threads: CPU threads, None for all cores.
    precision: bf16 is faster on CPUs that support it, with larger errors than the model was verified to; None for the
    precision of the model. input: z, w or w+; None for that of the file. An .onnx that takes z can be opened to take w
    or w+. is_stream: the passes follow one another and have `batch` rows, as in a run; their rate counts more than the
    time of one.

    Raises UserError for a file that is not an exported model, a backend that is not installed or cannot run the file,
    a device that is not available, a precision that the backend does not support, and an input that the file cannot
    take.
    """
    path = check_path(path, "path")
    check_text(backend=backend, device=device, precision=precision, input=input)
    threads = check_threads(threads)
    artifact = taking(path, Artifact.read(path), input)
    chosen = artifact.choose_types(types)
    names, device = _candidates(path, backend, device, precision, artifact.precision, images)
    options = {} if precision is None else {"precision": precision}
    passed_over = []
    for name in names:
        try:
            opened: Backend = find_backend(name).load(name, device, is_stream)(
                path, artifact, device=device, types=chosen, batch=batch, threads=threads, **options
            )
        except (UnsupportedModelError, BackendImportError) as error:
            if name == names[-1]:
                raise
            passed_over.append(str(error))
            continue
        if passed_over:
            setattr(opened, "remark", "; ".join(passed_over))  # noqa: B010
        return opened
    raise AssertionError("there is a candidate")


def choose_backend(
    path: Path,
    backend: str = AUTO,
    device: str = AUTO,
    precision: str | None = None,
    model_precision: str = "fp32",
    images: int | None = None,
) -> tuple[str, str]:
    """The names of the backend and the device that `open_backend` tries first for a model, which need not exist yet.

    model_precision: of the model. Raises UserError as `open_backend` does, but not for a package that is missing.
    """
    names, device = _candidates(path, backend, device, precision, model_precision, images)
    return names[0], device


def installed_backends(path: str | Path, device: str, precision: str | None = None) -> tuple[str, ...]:
    """Names of the installed built-in backends that can run the file on `device` (cpu or cuda) in this precision."""
    able = _able(Path(path).suffix, device, precision)
    return tuple(name for name, row in able.items() if row.is_installed)


def devices_of(backend: str) -> tuple[str, ...]:
    """Devices that a backend supports, on this or another machine."""
    return tuple(find_backend(backend).install)


def runs(backend: str, path: str | Path) -> bool:
    """Whether a backend can run files with this suffix."""
    return Path(path).suffix in find_backend(backend).suffixes


def missing(backend: str, device: str) -> str | None:
    """Why a backend cannot be imported, one line with the remedy; None if it can."""
    try:
        find_backend(backend).load(backend, device)
    except UserError as error:
        return str(error)
    return None


def has_nvidia_driver() -> bool:
    """Whether there is an NVIDIA driver with at least one GPU; loads no framework."""
    return has_gpu()


def _choose_device(device: str, suffix: str = ONNX_SUFFIX) -> str:
    if device == AUTO and suffix in SIDECAR_SUFFIXES:
        return "tensorrt"  # the backend checks the needs of the engine
    if device == AUTO:
        return "cuda" if has_nvidia_driver() and _has_cuda_build() else "cpu"
    if device not in DEVICES:
        raise UserError(f"`device={device}`: choose from {', '.join((AUTO, *DEVICES))}")
    if device != "cpu" and not has_nvidia_driver():
        raise UserError(f"`device={device}`: no NVIDIA GPU with a driver was found; use `device=cpu`")
    return device


def _has_cuda_build() -> bool:
    if not is_installed("onnxruntime"):
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _candidates(
    path: Path, backend: str, device: str, precision: str | None, model_precision: str, images: int | None
) -> tuple[tuple[str, ...], str]:
    """The names of the backends that `open_backend` tries in turn, and the device."""
    device = _choose_device(device, path.suffix)
    if precision is not None:
        able = _casting(backend, device, precision)
        return (able if backend == AUTO else _choose_backends(backend, device, path)), device
    return _choose_backends(backend, device, path, images, model_precision), device


def _choose_backends(
    backend: str, device: str, path: Path, images: int | None = None, precision: str | None = None
) -> tuple[str, ...]:
    """`backend`, or for auto the installed backends from the fastest on; where none is installed, the first."""
    if backend != AUTO:
        row = find_backend(backend)
        if path.suffix not in row.suffixes:
            raise UserError(f"`backend={backend}`: it cannot run {path.name}; it runs {', '.join(row.suffixes)}")
        if device not in row.install:
            raise UserError(
                f"`backend={backend}`: it does not support `device={device}`; it supports {', '.join(row.install)}"
            )
        if (device, precision) in row.lacks:
            others = [p for p in MODEL_PRECISIONS if (device, p) not in row.lacks]
            raise UserError(
                f"`backend={backend}`: it does not support {precision} on {device}; export {path.name} as "
                f"{' or '.join(others)}"
            )
        return (backend,)
    able = _able(path.suffix, device, precision)
    if not able:
        raise UserError(f"{path}: no backend of this version runs {path.suffix} on {device}; use an .onnx export")
    names = list(able)
    if images is not None and images <= FEW_IMAGES:
        names.sort(key=lambda name: name != "onnxruntime")
    return _installed(names)


def _able(suffix: str, device: str, precision: str | None) -> dict[str, BackendRow]:
    """The built-in backends that can run a model, installed or not."""
    return {
        name: row
        for name, row in BACKENDS.items()
        if suffix in row.suffixes and device in row.install and (device, precision) not in row.lacks
    }


def _installed(names: Sequence[str]) -> tuple[str, ...]:
    """Those of `names` that are installed, the native one first, because it is the fastest; the first if none is.

    See docs/experiments.md, "CPU runtimes side by side".
    """
    found = sorted((name for name in names if BACKENDS[name].is_installed), key=lambda name: name != NATIVE)
    return tuple(found or names[:1])


def _casting(backend: str, device: str, precision: str) -> tuple[str, ...]:
    """The backends that `auto` tries for models of any precision in `precision` on `device`; checks another."""
    if precision not in PRECISIONS:
        raise UserError(
            f"`precision={precision}`: choose {' or '.join(PRECISIONS)}, or leave it out for the precision of the model"
        )
    rows = BACKENDS if backend in (AUTO, *BACKENDS) else {**BACKENDS, backend: find_backend(backend)}
    able = [name for name, row in rows.items() if (device, precision) in row.casts]
    if not able:
        raise UserError(
            f"`precision={precision}`: only a CPU can run any model in it; use `device=cpu`, or export the model in it"
        )
    if backend not in (AUTO, *able):
        raise UserError(f"`precision={precision}`: `backend={backend}` does not support it; use {' or '.join(able)}")
    return _installed([name for name in able if name in BACKENDS])
