"""The model of a run: an exported file, or a generator with offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sgi.engine.api import bundled_model
from sgi.engine.arguments import check_path, check_text, names_of_types
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.generator_model import TRITON, ExportedModel, ModelSource, generator_source
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run.record import read_run

ALL = "all"


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
    if generator is None:
        if backend == TRITON:
            raise UserError(f"`backend={TRITON}`: it runs a generator, not an exported model; pass `generator`")
        given = {"offsets": list(offsets) or None, "alpha": alpha, "cutoff": cutoff, "cache": None if cache else False}
        for name, value in given.items():
            refuse_ignored({name: ",".join(map(str, value)) if isinstance(value, list) else value}, _WITHOUT_GENERATOR)
        exported = ExportedModel(bundled_model() if model is None else check_path(model, "model"))
        if noise_mode is not None:
            exported.artifact.check_noise_mode(noise_mode)
        names = names_of_types(types) or [ALL]
        chosen = exported.artifact.choose_types([name for name in names if name != ALL] or None)
        return RunSource(exported, exported.artifact.type_names if ALL in names else chosen)
    if model is not None:
        raise UserError("`model` and `generator`: pass only one of the two")
    outdir = check_path(outdir, "outdir")
    check_writable(outdir, "outdir", folder=True, make=True)
    found = None
    with suppress(UserError):  # the run tells it, after it has renamed what is not a file
        found = read_run(outdir)
    source = generator_source(
        generator, offsets, types=names_of_types(types), alpha=1.0 if alpha is None else alpha, psi=psi, cutoff=cutoff,
        noise_mode=noise_mode, backend=found.record.backend if found and backend == AUTO else backend,
        device=found.record.device if found and device == AUTO else device, precision=precision, cache=cache,
        progress=progress,
    )  # fmt: skip
    return RunSource(source, source.artifact.type_names)


_WITHOUT_GENERATOR = (
    "without `generator`: an exported model contains its offsets; use `generator=bundled` for the rooms"
)
