"""The model of a run: an exported file, or a generator with offsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from sgi.engine.api import bundled_model
from sgi.engine.arguments import check_path, check_text, names_of_types
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError
from sgi.engine.files import check_writable
from sgi.engine.generator_model import (
    ExportedModel,
    ModelSource,
    check_model_or_generator,
    generator_source,
    triton_device,
)
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run.run_file import RUN_FILE, read_run

T = TypeVar("T")


class RunSource(NamedTuple):
    """The model of a run. types: the outputs that are written, in the order of the model."""

    model: ModelSource
    types: tuple[str, ...]


def open_source(
    outdir: str | Path,
    *,
    model: str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    types: str | Iterable[str] | None = None,
    alpha: float | None = None,
    psi: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    cache: bool = True,
    backend: str = AUTO,
    device: str = AUTO,
    precision: str | None = None,
    progress: Progress = SILENT,
) -> RunSource:
    """The model that `run_seeds` runs for the same arguments; a generator is exported, or packed for the kernels.

    The folder's backend and device count where the arguments leave them open. Raises UserError for arguments that the
    model cannot satisfy, and for those that have no effect.
    """
    check_text(backend=backend, device=device, precision=precision, noise_mode=noise_mode)
    check_model_or_generator(
        model, generator, backend=backend, offsets=offsets, alpha=alpha, cutoff=cutoff, cache=cache
    )  # fmt: skip
    if generator is None:
        exported = ExportedModel(bundled_model() if model is None else check_path(model, "model"))
        if noise_mode is not None:
            exported.artifact.check_noise_mode(noise_mode)
        return RunSource(exported, exported.artifact.choose_types_or_all(types))
    outdir = check_path(outdir, "outdir")
    check_writable(outdir, "outdir", folder=True, make=True)
    found = None
    with suppress(UserError):  # `run_seeds` reports it, after it has renamed what is not a file
        found = read_run(outdir)
    if found and backend == AUTO:
        recorded = found.record.backend, found.record.device if device == AUTO else device
        as_recorded(lambda: triton_device(*recorded), outdir)
    source = generator_source(
        generator, offsets, types=names_of_types(types), alpha=1.0 if alpha is None else alpha, psi=psi, cutoff=cutoff,
        noise_mode=noise_mode, backend=found.record.backend if found and backend == AUTO else backend,
        device=found.record.device if found and device == AUTO else device, precision=precision, cache=cache,
        progress=progress,
    )  # fmt: skip
    return RunSource(source, source.artifact.type_names)


def as_recorded(load: Callable[[], T], outdir: Path) -> T:
    """The result of `load` for the backend of a folder; an error names the folder, which chose the backend."""
    try:
        return load()
    except UserError as error:
        raise UserError(f"`outdir={outdir}`: cannot be continued with the backend of its {RUN_FILE}: {error}") from None
