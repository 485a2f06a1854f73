"""Which runtime a generator gets: the Triton kernels or a cached export."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgi.engine.backends import AUTO, backend_names
from sgi.engine.backends.table import is_installed
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.gpu import has_gpu
from sgi.engine.offsets import Offset, as_offsets

BUNDLED = "bundled"
"""The name of the bundled generator, in place of a file."""
TRITON = "triton"
"""The backend that runs a generator file, and no exported model."""
_TRITON_PACKAGES = (TRITON, "torch")
_EXPORT_PACKAGES = ("torch", "onnx", "ml_dtypes")
_WITHOUT_GENERATOR = (
    "without `generator`: an exported model contains its offsets; use `generator=bundled` for the rooms"
)


def check_model_or_generator(
    model: object | None,
    generator: str | Path | None,
    *,
    backend: str = AUTO,
    offsets: Sequence[str | Path | Offset] = (),
    alpha: float | None = None,
    cutoff: int | None = None,
    cache: bool = True,
) -> None:
    """Raise UserError for both a model and a generator, and without a generator for what only a generator has."""
    if generator is not None:
        if model is not None:
            raise UserError("`model` and `generator`: pass only one of the two")
        return
    if backend == TRITON:
        raise UserError(f"`backend={TRITON}`: it runs a generator, not an exported model; pass `generator`")
    shown = ",".join(str(item.type if isinstance(item, Offset) else item) for item in as_offsets(offsets))
    given = {"offsets": shown or None, "alpha": alpha, "cutoff": cutoff, "cache": None if cache else False}
    refuse_ignored(given, _WITHOUT_GENERATOR)


def missing_package() -> str | None:
    """Why the Triton kernels cannot be imported, with the remedy; None if they can."""
    return _missing(_TRITON_PACKAGES, "triton")


def missing_export_package() -> str | None:
    """Why a generator cannot be exported, with the remedy; None if it can."""
    return _missing(_EXPORT_PACKAGES, "export")


def triton_device(backend: str = AUTO, device: str = AUTO) -> str | None:
    """The device on which the Triton kernels run a generator, cuda or cpu; None for a cached export.

    `auto` chooses the kernels where CUDA finds a GPU and torch and triton are installed. Triton on a CPU must be asked
    for and is meant for checks: it runs the kernels' torch references or, with TRITON_INTERPRET=1, Triton's
    interpreter. Raises UserError for an unknown backend, and for triton on a device that it does not support or without
    its packages.
    """
    if backend == AUTO:
        wanted = device in (AUTO, "cuda") and has_gpu() and missing_package() is None
        return "cuda" if wanted else None
    if backend != TRITON:
        if backend not in backend_names():
            raise UserError(f"`backend={backend}`: choose from {', '.join((AUTO, *backend_names(), TRITON))}")
        return None
    reason = missing_package()
    if reason is not None:
        raise UserError(f"`backend={TRITON}`: {reason}")
    if device not in (AUTO, "cuda", "cpu"):
        raise UserError(f"`backend={TRITON}`: it does not support `device={device}`; it supports cuda, cpu")
    if device == "cuda" and not has_gpu():
        raise UserError("`device=cuda`: no NVIDIA GPU with a driver was found; use `device=cpu`")
    if device == AUTO:
        return "cuda" if has_gpu() else "cpu"
    return device


def _missing(packages: tuple[str, ...], extra: str) -> str | None:
    missing = [name for name in packages if not is_installed(name)]
    return f'{missing[0]} is not installed: pip install "sgi-engine[{extra}]"' if missing else None
