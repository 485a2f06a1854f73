"""`sgi-engine doctor`: what is installed, which GPU is here, which backends work and why the others do not."""

from __future__ import annotations

from contextlib import closing
from typing import NamedTuple

from sgi.engine.errors import UserError

PACKAGES = (
    "numpy", "onnx", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "triton",
    "tensorrt", "tensorrt-rtx-cu13", "cuda-bindings", "nvidia-ml-py", "pycuda",
)  # fmt: skip
YES, NO, UNTRIED = "yes", "no", "untried"
ENGINES = "tensorrt"  # the backend that runs engines
_COLOURS = {YES: "green", NO: "red", UNTRIED: "yellow"}


class Finding(NamedTuple):
    """A line of the table: what was looked at, yes, no or untried, and the version, the figures or the reason."""

    what: str
    state: str
    detail: str


def doctor() -> None:
    """Say what is installed, which GPU is here, and which backends work and why the others do not."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="sgi-engine doctor", title_justify="left")
    for column in ("what", "", "details"):
        table.add_column(column, overflow="fold")
    for section in (system(), gpus(), backends(), builders(), packages()):
        for found in section:
            table.add_row(found.what, f"[{_COLOURS[found.state]}]{found.state}[/]", found.detail.replace("[", r"\["))
        table.add_section()
    Console().print(table)


def system() -> list[Finding]:
    """The package and the interpreter."""
    import platform

    import sgi.engine

    cores = available_cores()
    python = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {cores} cores"
    return [Finding("sgi-engine", YES, f"{sgi.engine.__version__}, {python}")]


def gpus() -> list[Finding]:
    """The NVIDIA GPUs that CUDA programs can use."""
    from sgi.engine.gpu import find_driver, find_gpus

    try:
        found, driver = find_gpus(), find_driver()
    except UserError as error:
        return [Finding("GPU", UNTRIED, str(error))]
    if driver is None:
        return [Finding("GPU", NO, "no NVIDIA driver is here")]
    text = f"driver {driver.version} for CUDA {driver.cuda}"
    if not found:
        return [Finding("GPU", NO, f"{text}, and no GPU that CUDA programs can use")]
    return [
        Finding(
            f"GPU {i}",
            YES,
            f"{gpu.name}, SM{gpu.capability[0]}{gpu.capability[1]}, {gpu.memory / 2**30:.0f} GiB, {text}",
        )
        for i, gpu in enumerate(found)
    ]


def backends() -> list[Finding]:
    """Every backend on every device, tried on the bundled model where it can run that."""
    from sgi.engine.backends import BACKENDS, devices_of

    return [_backend(name, device) for name in BACKENDS for device in devices_of(name)]


def builders() -> list[Finding]:
    """What builds TensorRT engines here."""
    from sgi.engine.backends.engine_file import MODULES, TENSORRT, is_installed
    from sgi.engine.gpu import has_gpu

    findings = []
    for module, extra in MODULES.items():
        what = f"builder {module}"
        if not is_installed(module):
            findings.append(Finding(what, NO, f'not installed: pip install "sgi-engine[{extra}]"'))
        elif module == TENSORRT and not has_gpu():
            findings.append(Finding(what, NO, "it builds on the GPU that will run the engine, and none is here"))
        else:
            findings.append(_builder(what, module))
    return findings


def packages() -> list[Finding]:
    """Versions of the packages that backends and exporters use."""
    from importlib.metadata import PackageNotFoundError, version

    findings = []
    for name in PACKAGES:
        try:
            findings.append(Finding(name, YES, version(name)))
        except PackageNotFoundError:
            findings.append(Finding(name, NO, "not installed"))
    return findings


def available_cores() -> int:
    """Cores that this process may use, where the system can tell, else those that there are."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _backend(name: str, device: str) -> Finding:
    from sgi.engine import bundle
    from sgi.engine.artifact import Artifact
    from sgi.engine.backends import has_nvidia_driver, missing, open_backend, runs
    from sgi.engine.seeds import latents

    what = f"backend {name} on {device}"
    if device != "cpu" and not has_nvidia_driver():
        return Finding(what, NO, "no NVIDIA GPU with a driver is here")
    why = missing(name, device)
    if why is not None:
        return Finding(what, NO, why)
    try:
        if name == ENGINES:
            return Finding(what, UNTRIED, _engine_runtime())
        if not runs(name, bundle.MODEL) or not bundle.MODEL.exists():
            return Finding(what, UNTRIED, "it imports; there is no bundled model that it runs")
        z = latents([0], Artifact.read(bundle.MODEL).z_dim).astype("float32")
        with closing(open_backend(bundle.MODEL, name, device, batch=1)) as backend:
            backend.run(z, 1.0)
    except UserError as error:
        return Finding(what, NO, str(error))
    except Exception as error:  # whatever a runtime throws is what the user came to see
        return Finding(what, NO, " ".join(f"{type(error).__name__}: {error}".split())[:200])
    return Finding(what, YES, "makes the maps of seed 0 of the bundled model")


def _engine_runtime() -> str:
    """What would run an engine here; raises what is missing or fails. There is no engine for every GPU to try."""
    from importlib import import_module

    from sgi.engine.backends.cuda_memory import open_memory
    from sgi.engine.backends.engine_file import MODULES, is_installed

    modules = [module for module in MODULES if is_installed(module)]
    if not modules:
        extras = " or ".join(f"[{extra}]" for extra in MODULES.values())
        raise UserError(f'neither {" nor ".join(MODULES)} is installed: pip install "sgi-engine[...]" with {extras}')
    versions = ", ".join(f"{module} {import_module(module).__version__}" for module in modules)
    memory = open_memory()
    memory.free(memory.allocate(1 << 20))
    return f"{versions}, buffers by {memory.name}; an engine's own needs are checked when it is opened"


def _builder(what: str, module: str) -> Finding:
    from importlib import import_module

    try:
        trt = import_module(module)
    except ImportError as error:
        return Finding(what, NO, f"does not import ({error})")
    targets = [name for name in dir(getattr(trt, "ComputeCapability", None)) if name.startswith("SM")]
    return Finding(what, YES, f"{trt.__version__}" + (f", builds for {', '.join(targets)}" if targets else ""))
