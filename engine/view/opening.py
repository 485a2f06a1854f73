"""What `sgi-engine view WHAT` shows: an exported model, a generator with offsets, a run folder or inverted pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgi.engine.api import bundled_model
from sgi.engine.artifact import ONNX_SUFFIX, SIDECAR_SUFFIXES
from sgi.engine.backends import AUTO
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import sha256_file
from sgi.engine.foreign_file import foreign
from sgi.engine.generator_model import BUNDLED
from sgi.engine.live import LiveModel, open_live
from sgi.engine.progress import SILENT, Progress
from sgi.engine.run.run_file import RUN_FILE
from sgi.engine.run.stores.opening import is_url
from sgi.engine.view.latents import LoadedLatents, read_files
from sgi.engine.view.run_folder import RunFolder

WS_SUFFIX = "_ws.safetensors"
PICTURE_SUFFIX = "_picture.png"
_MODELS = (ONNX_SUFFIX, *SIDECAR_SUFFIXES)
_REMEDY = "give an exported model, a generator or checkpoint, or the folder of `sgi-engine run` or `invert`"


@dataclass(frozen=True, kw_only=True)
class Source:
    """How a model is opened, in the words of `open_live` and of the options of `run`; by default the bundled one."""

    model: str | None = None
    generator: str | None = None
    offsets: tuple[str, ...] = ()
    backend: str = AUTO
    device: str = AUTO
    precision: str | None = None
    threads: int | None = None
    cache: bool = True

    @property
    def title(self) -> str:
        """Words for the head of the page."""
        if self.generator is not None:
            return "rooms, bundled generator" if self.generator == BUNDLED else Path(self.generator).name
        return "rooms, bundled model" if self.model is None else Path(self.model).name


@dataclass(frozen=True, kw_only=True)
class Viewed:
    """What a viewer shows; as a context manager it closes the model and the folder.

    live: the open model, None for a run folder whose model is not known; no_live: why, empty otherwise. source: how it
    was opened. title: for the head of the page. folder: of a run, None for a model alone. latents: shown first, None
    for a seed.
    """

    live: LiveModel | None
    source: Source = Source()
    title: str = ""
    no_live: str = ""
    folder: RunFolder | None = None
    latents: LoadedLatents | None = None

    def close(self) -> None:
        """Free the model and the folder."""
        if self.live is not None:
            self.live.close()
        if self.folder is not None:
            self.folder.close()

    def __enter__(self) -> Viewed:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_viewed(
    what: str | Path | None = None,
    *,
    model: str | Path | None = None,
    generator: str | Path | None = None,
    offsets: Sequence[str | Path] = (),
    progress: Progress = SILENT,
    **options: Any,
) -> Viewed:
    """Open what a viewer shows.

    what: the file of an exported model, a generator or checkpoint, the folder of a run or of inverted pictures; None
    for `model`, `generator` with `offsets`, or the bundled model. options: the other fields of `Source`.
    The model of a folder is `model` or `generator`, or the bundled one where the folder is of it.

    Raises UserError for other files and folders, and as `open_live` does.
    """
    if what is not None and is_url(str(what)):
        raise UserError(f"`what={what}`: a URL; copy the folder to this machine first")
    path = None if what is None else Path(what)
    kind = None if path is None else kind_of(path)
    if kind in ("model", "generator"):
        refuse_ignored({"model": model, "generator": generator}, f"beside {path}, which is a {kind} itself")
        model, generator = (path, None) if kind == "model" else (None, path)
    source = Source(
        model=_text(model), generator=_text(generator), offsets=tuple(map(str, offsets)), **options
    )  # fmt: skip
    if path is not None and kind == "run":
        return _run(path, source, progress)
    live = _open(source, progress)
    if path is None or kind != "inverted":
        return Viewed(live=live, source=source, title=source.title)
    try:
        found = _inverted(live, path)
    except BaseException:
        live.close()
        raise
    return Viewed(live=live, source=source, title=f"{path.name}: {source.title}", latents=found)


def kind_of(path: Path) -> str:
    """model, generator, run or inverted; raises UserError for what a viewer does not show."""
    if path.is_dir():
        names = [entry.name for entry in path.iterdir()]
        is_inverted = RUN_FILE not in names and any(name.endswith(WS_SUFFIX) for name in names)
        return "inverted" if is_inverted else "run"  # `RunFolder` refuses other folders
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if path.suffix in _MODELS:
        return "model"
    what = foreign(path) or ""
    if path.suffix == ".safetensors" and re.match(r"(an offset|a file of w\+)", what):
        own = "give it as `offsets`, beside its generator" if "offset" in what else "load it in the page"
        raise UserError(f"{path}: {what}; {own}")
    return "generator"


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


def _open(source: Source, progress: Progress) -> LiveModel:
    return open_live(
        source.model, source.generator, source.offsets, backend=source.backend, device=source.device,
        threads=source.threads, precision=source.precision, cache=source.cache, progress=progress,
    )  # fmt: skip


def _run(path: Path, source: Source, progress: Progress) -> Viewed:
    """A run folder with its model, where that is known."""
    folder = RunFolder(path)
    try:
        reason = "the run is of latents; open its model alone to load them" if folder.item == "latent" else ""
        if source.generator is None and not reason:
            model = bundled_model() if source.model is None else Path(source.model)
            if folder.model_sha256 != sha256_file(model):
                reason = "another model than the bundled one made the run; to change its images, give it as --model too"
            if reason and source.model is not None:
                raise UserError(f"`model={source.model}`: another model made {path}; give that one, or leave it out")
        live = None if reason else _open(source, progress)
        if live is not None:
            _check_run(folder, source, live)
    except BaseException:
        folder.close()
        raise
    return Viewed(live=live, source=source, title=folder.title, no_live=reason, folder=folder)


def _check_run(folder: RunFolder, source: Source, live: LiveModel) -> None:
    """Close the model and raise UserError unless it is of the generator of the run, with the offsets of its types."""
    known = folder.generator_sha256
    lacking = [kind.name for kind in folder.types if kind.name not in live.artifact.type_names]
    wrong = ""
    if known is not None and known != live.artifact.generator["sha256"]:
        wrong = f"another generator made {folder.path}; give that one, or leave it out"
    elif lacking:
        wrong = f"the run has maps of {', '.join(lacking)}; add their `offsets`, or leave out `generator`"
    if wrong:
        live.close()
        raise UserError(f"`generator={source.generator}`: {wrong}")


def _inverted(live: LiveModel, folder: Path) -> LoadedLatents:
    files = sorted(folder.glob(f"*{WS_SUFFIX}"))
    try:
        found = read_files(live, files)
    except UserError as error:
        raise UserError(str(error).replace("`latents=", "`what=")) from None  # the command has no such flag
    pictures = [path.with_name(path.name.removesuffix(WS_SUFFIX) + PICTURE_SUFFIX) for path in files]
    shown = tuple(pictures) if len(files) == len(found.latents.rows) else ()
    return LoadedLatents(found.id, folder.name, found.latents, tuple(map(str, files)), shown)
