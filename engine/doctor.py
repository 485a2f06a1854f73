"""Checks of this machine: what is installed, which GPUs it has, and which backends and engine builders work."""

from __future__ import annotations

import platform
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from sgi.engine import bundle
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, backend_names, devices_of, has_nvidia_driver, missing, open_backend, runs
from sgi.engine.backends.engine_file import MODULES, TENSORRT, is_installed
from sgi.engine.backends.table import NATIVE
from sgi.engine.cores import available_cores
from sgi.engine.errors import UserError, one_line
from sgi.engine.generator_model import ModelCache, missing_export_package, missing_package, triton_device
from sgi.engine.gpu import find_driver, find_gpus, has_gpu
from sgi.engine.seeds import latents
from sgi.engine.version import __version__
from sgi.engine.writers import deflate

State = Literal["yes", "no", "untried"]
ENGINE_BACKEND = "tensorrt"
"""The backend that runs TensorRT engines. There is no engine for every GPU, so that it cannot be tried."""
PACKAGES = {
    "numpy": "", "isal": "", "sgi-engine-cpu": "native", "onnxruntime": "cpu", "onnxruntime-gpu": "gpu",
    "openvino": "cpu", "onnx": "export", "torch": "export", "transformers": "teachers", "diffusers": "teachers",
    "triton": "triton", "tensorrt": "tensorrt", "tensorrt-rtx-cu13": "tensorrt-rtx", "cuda-bindings": "tensorrt",
    "nvidia-ml-py": "gpu", "pycuda": "pycuda", "uvicorn": "view", "av": "video", "pyarrow": "parquet", "zarr": "zarr",
    "OpenEXR": "exr", "s3fs": "remote", "ray": "scale",
}  # fmt: skip
"""Package -> an extra that brings it; empty where every installation has it."""
_ADVICE = {NATIVE: ", or `pip install ./engine/native/python` in a checkout; it makes maps on CPUs faster"}
_DETAIL_LENGTH = 200
_TEST_BYTES = 1 << 20


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    what: the subject, such as "backend openvino on cpu". state: "yes" works, "no" does not, "untried" could not be
    tried. detail: the version, the figures or the reason.
    """

    what: str
    state: State
    detail: str


def diagnose() -> tuple[tuple[Finding, ...], ...]:
    """Run all checks. Returns their findings in groups: system, GPUs, backends, generators, builders, packages."""
    checks = (check_system, check_gpus, check_backends, check_generators, check_builders, check_packages)
    return tuple(tuple(check()) for check in checks)


def check_system() -> list[Finding]:
    """Versions of sgi-engine and Python, the number of cores, and what compresses PNG files."""
    name, version = deflate.library()
    slow = "" if name == "isal" else "; pip install isal makes `run` several times faster at it, with the same pixels"
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {available_cores()} cores"
    return [
        Finding("sgi-engine", "yes", f"{__version__}, {python}"),
        Finding("PNG files", "yes", f"compressed by {name} {version}{slow}"),
    ]


def check_gpus() -> list[Finding]:
    """The NVIDIA GPUs that CUDA programs can use."""
    try:
        gpus, driver = find_gpus(), find_driver()
    except UserError as error:
        return [Finding("GPU", "untried", str(error))]
    if driver is None:
        return [Finding("GPU", "no", "no NVIDIA driver was found")]
    text = f"driver {driver.version} for CUDA {driver.cuda}"
    if not gpus:
        return [Finding("GPU", "no", f"{text}, and no GPU that CUDA programs can use")]
    return [
        Finding(
            f"GPU {i}",
            "yes",
            f"{gpu.name}, SM{gpu.capability[0]}{gpu.capability[1]}, {gpu.memory / 2**30:.0f} GiB, {text}",
        )
        for i, gpu in enumerate(gpus)
    ]


def check_backends() -> list[Finding]:
    """Every backend on every device, tried on the bundled model where it can run that."""
    findings = []
    for name in backend_names():
        try:
            findings += [check_backend(name, device) for device in devices_of(name)]
        except UserError as error:  # a plugin that does not import
            findings.append(Finding(f"backend {name}", "no", str(error)))
    return [*findings, _choice()] if bundle.MODEL.exists() else findings


def check_backend(name: str, device: str) -> Finding:
    """One backend on one device, tried on the bundled model where it can run that."""
    what = f"backend {name} on {device}"
    if device != "cpu" and not has_nvidia_driver():
        return Finding(what, "no", "no NVIDIA GPU with a driver was found")
    reason = missing(name, device)
    if reason is not None:
        return Finding(what, "no", reason + _ADVICE.get(name, ""))
    try:
        if name == ENGINE_BACKEND:
            return Finding(what, "untried", _engine_runtime())
        if not runs(name, bundle.MODEL) or not bundle.MODEL.exists():
            return Finding(what, "untried", "it imports; there is no bundled model that it can run")
        z = latents([0], Artifact.read(bundle.MODEL).z_dim).astype("float32")
        with closing(open_backend(bundle.MODEL, name, device, batch=1)) as backend:
            backend.run(z, 1.0)
            runtime = getattr(backend, "runtime", "")
    except UserError as error:
        return Finding(what, "no", str(error))
    except Exception as error:  # any exception of a runtime is a finding
        return Finding(what, "no", one_line(" ".join(f"{type(error).__name__}: {error}".split()), _DETAIL_LENGTH))
    by = f" by {runtime}" if runtime else ""
    return Finding(what, "yes", f"computed the maps of seed 0 of the bundled model{by}")


def _choice() -> Finding:
    """What `auto` chooses for the bundled model and many images, and what it passes over."""
    what = f"backend {AUTO}"
    try:
        with closing(open_backend(bundle.MODEL, batch=1)) as backend:
            remark = getattr(backend, "remark", "")
            return Finding(what, "yes", f"{backend.name} on {backend.device}" + (f": {remark}" if remark else ""))
    except Exception as error:  # any exception of a runtime is a finding
        return Finding(what, "no", one_line(" ".join(str(error).split()), _DETAIL_LENGTH))


def check_generators() -> list[Finding]:
    """How `run --generator` runs here, and the cache of exported models."""
    try:
        cache = ModelCache.of_user()
        count, size = len(cache.models()), cache.size()
        used = Finding(
            "cached models",
            "yes",
            f"{count} in {cache.folder}: {_bytes(size)} of {_bytes(cache.limit)}; "
            "`sgi-engine doctor --clear-cache` removes them",
        )
    except UserError as error:
        used = Finding("cached models", "no", str(error))
    return [_generator_runtime(), used]


def check_builders() -> list[Finding]:
    """The packages that build TensorRT engines."""
    findings = []
    for module, extra in MODULES.items():
        what = f"builder {module}"
        if not is_installed(module):
            findings.append(Finding(what, "no", f'not installed: pip install "sgi-engine[{extra}]"'))
        elif module == TENSORRT and not has_gpu():
            findings.append(Finding(what, "no", "it builds on the GPU that will run the engine; no GPU was found"))
        else:
            findings.append(_builder(what, module))
    return findings


def check_packages() -> list[Finding]:
    """Versions of the packages that commands use, and the extras of those that are missing."""
    from importlib.metadata import PackageNotFoundError, version

    findings = []
    for name, extra in PACKAGES.items():
        try:
            findings.append(Finding(name, "yes", version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, "no", "not installed" + (f": extra {extra}" if extra else "")))
    return findings


def _generator_runtime() -> Finding:
    what = "run --generator"
    if triton_device() is not None:
        return Finding(what, "yes", "on the Triton kernels, on cuda")
    reason = missing_package() or "CUDA finds no GPU"
    missing_exporter = missing_export_package()
    if missing_exporter is not None:
        return Finding(
            what, "no", f"not on the Triton kernels ({reason}), and not by a cached export: {missing_exporter}"
        )
    return Finding(what, "yes", f"by a cached export, not on the Triton kernels: {reason}")


def _bytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 1 << 30 else f"{size / 2**20:.1f} MiB"


def _engine_runtime() -> str:
    """Versions of the packages that run an engine; raises UserError where one is missing or fails."""
    from sgi.engine.backends.cuda_memory import open_memory

    modules = [module for module in MODULES if is_installed(module)]
    if not modules:
        extras = " or ".join(f"[{extra}]" for extra in MODULES.values())
        raise UserError(f'neither {" nor ".join(MODULES)} is installed: pip install "sgi-engine[...]" with {extras}')
    versions = ", ".join(f"{module} {import_module(module).__version__}" for module in modules)
    memory = open_memory()
    memory.free(memory.allocate(_TEST_BYTES))
    return f"{versions}, buffers by {memory.name}; the requirements of an engine are checked when it is opened"


def _builder(what: str, module: str) -> Finding:
    try:
        trt = import_module(module)
    except ImportError as error:
        return Finding(what, "no", f"does not import ({error})")
    targets = [name for name in dir(getattr(trt, "ComputeCapability", None)) if name.startswith("SM")]
    return Finding(what, "yes", f"{trt.__version__}" + (f", builds for {', '.join(targets)}" if targets else ""))
