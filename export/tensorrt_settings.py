"""Options of TensorRT builds, and the choice of the builder."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from sgi.engine.arguments import MAX_BATCH
from sgi.engine.backends.engine_file import MODULES, RTX, TENSORRT, is_installed
from sgi.engine.errors import UserError
from sgi.engine.gpu import find_gpus

DEFAULT_BATCH = (1, 8, 16)
DEFAULT_TARGETS = ("SM80", "SM86", "SM89", "SM120")
LEVELS = range(6)


@dataclass(frozen=True)
class BuildSettings:
    """Options of a build.

    builder: tensorrt, tensorrt_rtx, or auto: tensorrt if it is installed and a GPU is present, else tensorrt_rtx.
    batch_profile: least, best and largest number of rows.
    optimization_level: of the builder, 0 to 5; None for the builder's default.
    timing_cache: file of kernel timings, read if it exists and written after the build; for tensorrt only, because
    TensorRT-RTX measures kernels when the engine runs.
    compute_capability: compute capabilities to build for, such as SM120; for tensorrt_rtx only; empty for
    `DEFAULT_TARGETS`.

    Raises UserError for values that no builder accepts.
    """

    builder: str = "auto"
    batch_profile: tuple[int, int, int] = DEFAULT_BATCH
    optimization_level: int | None = None
    timing_cache: Path | None = None
    compute_capability: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least, best, largest = self.batch_profile
        if not 1 <= least <= best <= largest <= MAX_BATCH:
            raise UserError(
                f"`batch_profile={least},{best},{largest}`: choose 1 <= least <= best <= largest <= {MAX_BATCH}"
            )
        if self.optimization_level is not None and self.optimization_level not in LEVELS:
            raise UserError(f"`optimization_level={self.optimization_level}`: choose from 0 to 5")


def load_module(settings: BuildSettings) -> tuple[Any, str]:
    """The builder's Python module and its name; raises UserError with the pip extra if it is not installed."""
    gpus, name = find_gpus(), settings.builder
    if name == "auto":
        name = TENSORRT if is_installed(TENSORRT) and gpus and not settings.compute_capability else RTX
    if name not in MODULES:
        raise UserError(f"`builder={name}`: choose from auto, {', '.join(MODULES)}")
    if not is_installed(name):
        raise UserError(f'`file_format=tensorrt`: {name} is not installed: pip install "sgi-engine[{MODULES[name]}]"')
    if name == TENSORRT and settings.compute_capability:
        raise UserError("`compute_capability`: TensorRT builds for the GPU it runs on; use `builder=tensorrt_rtx`")
    if name == RTX and settings.timing_cache is not None:
        raise UserError("`timing_cache`: TensorRT-RTX keeps none; leave it out or use `builder=tensorrt`")
    if name == TENSORRT and not gpus:
        raise UserError(
            "`builder=tensorrt`: TensorRT builds on the GPU that will run the engine, and this machine has none; build "
            "there, or for RTX cards use `builder=tensorrt_rtx`"
        )
    try:
        return import_module(name), name
    except ImportError as error:
        raise UserError(
            f'`file_format=tensorrt`: {name} does not import ({error}): pip install "sgi-engine[{MODULES[name]}]"'
        ) from None
