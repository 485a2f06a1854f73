"""Sources of an open backend: a file of an exported model, or a generator with offsets.

A generator becomes the export that `sgi-engine import` and `export` would write, kept in the cache of models, or packed
weights of the Triton kernels.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import weakref
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from tempfile import gettempdir, mkdtemp
from typing import TYPE_CHECKING, Any, Protocol

from sgi.engine import bundle
from sgi.engine.arguments import check_path, check_psi
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, DEFAULT_BATCH, Backend, choose_backend, missing, open_backend
from sgi.engine.budget import check_regular
from sgi.engine.errors import UserError, one_line, refuse_ignored
from sgi.engine.files import sha256_file
from sgi.engine.generator_model.choice import BUNDLED, TRITON, missing_export_package, triton_device
from sgi.engine.generator_model.model_cache import ModelCache
from sgi.engine.latents_file import KINDS, LatentSizes, sizes_of
from sgi.engine.model_recipe import ModelRecipe, model_recipe
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.version import __version__

if TYPE_CHECKING:
    from sgi.engine.backends.triton import TritonBackend
    from sgi.engine.generator import Generator

_VERSIONS = ("sgi_version",)
_ANOTHER_MODEL = "another `model`"
_ANOTHER_GENERATOR = (
    "another `generator`, other `offsets`, `alpha`, `cutoff` or `noise_mode`, or another version of sgi-engine"
)


class ModelSource(Protocol):
    """A model that can be opened.

    artifact: its description. sha256: what identifies it in run.json. another: words for a model with another hash.
    precision: what run.json records, None for the precision that the caller asks for. remark: what to know about the
    way in which it runs; may be empty. latent_sizes: the latents that it can be opened with. path: the file that it is
    read from. reopen: a function of the path of a copy of that file, which gives the same source; it can be pickled.
    """

    @property
    def artifact(self) -> Artifact: ...
    @property
    def sha256(self) -> str: ...
    @property
    def another(self) -> str: ...
    @property
    def precision(self) -> str | None: ...
    @property
    def remark(self) -> str: ...
    @property
    def latent_sizes(self) -> LatentSizes: ...
    @property
    def path(self) -> Path: ...
    @property
    def reopen(self) -> Callable[[Path], ModelSource]: ...

    def open(
        self,
        backend: str = AUTO,
        device: str = AUTO,
        types: Sequence[str] | None = None,
        batch: int = DEFAULT_BATCH,
        threads: int | None = None,
        images: int | None = None,
        precision: str | None = None,
        input: str | None = None,
        is_stream: bool = False,
    ) -> Backend:
        """Load it; the arguments are those of `sgi.engine.backends.open_backend`."""
        ...


class TemporaryFolder:
    """A folder that exists as long as this object."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="sgi-model-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class ExportedModel:
    """The file of an exported model. sha256: of the file, None to compute it. keep: the folder of a temporary file."""

    remark = ""
    precision = None

    def __init__(
        self,
        path: str | Path,
        sha256: str | None = None,
        another: str = _ANOTHER_MODEL,
        keep: TemporaryFolder | None = None,
    ) -> None:
        self.path = check_path(path, "model")
        self.artifact = Artifact.read(self.path)
        self.another = another
        self._sha256 = sha256
        self._keep = keep

    @cached_property
    def sha256(self) -> str:
        """See `ModelSource`."""
        return sha256_file(self.path) if self._sha256 is None else self._sha256

    @property
    def latent_sizes(self) -> LatentSizes:
        """See `ModelSource`."""
        return sizes_of(self.path, self.artifact)

    @property
    def reopen(self) -> Callable[[Path], ModelSource]:
        """See `ModelSource`."""
        return partial(ExportedModel, sha256=self.sha256, another=self.another)

    def open(self, *arguments: Any, **options: Any) -> Backend:
        """See `ModelSource.open`."""
        backend = open_backend(self.path, *arguments, **options)
        if self._keep is not None:  # a backend can read the file again, for other types
            setattr(backend, "temporary_folder", self._keep)  # noqa: B010
        return backend


class TritonModel:
    """A generator with offsets on the Triton kernels. device: cuda or cpu. precision: None for that of the device."""

    another = _ANOTHER_GENERATOR

    def __init__(self, path: Path, recipe: ModelRecipe, device: str, precision: str | None) -> None:
        from sgi.engine.generator import checkpoints

        self.path = path
        self._asked = precision
        self._network: Generator = checkpoints.load(path)
        self._recipe = recipe
        self._device = device
        self.precision = precision or ("fp16" if device == "cuda" else "fp32")
        packed = self._pack()
        self.artifact, self._way = packed.artifact, packed.way
        self._packed: Backend | None = packed

    @property
    def sha256(self) -> str:
        """SHA-256 of the description as JSON, without versions of programs."""
        facts = {name: value for name, value in asdict(self.artifact).items() if name not in _VERSIONS}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    @property
    def latent_sizes(self) -> LatentSizes:
        """See `ModelSource`."""
        facts = self.artifact
        w_dim = self._network.config.w_dim
        return LatentSizes(facts.z_dim, w_dim, facts.num_ws, KINDS, facts.generator["sha256"], facts.noise_mode)

    @property
    def reopen(self) -> Callable[[Path], ModelSource]:
        """See `ModelSource`."""
        return partial(TritonModel, recipe=self._recipe, device=self._device, precision=self._asked)

    @property
    def remark(self) -> str:
        """See `ModelSource`."""
        return "" if self._device == "cuda" else f"{self._way}, meant for checks"

    def open(
        self,
        backend: str = TRITON,
        device: str = AUTO,
        types: Sequence[str] | None = None,
        batch: int = DEFAULT_BATCH,
        threads: int | None = None,
        images: int | None = None,
        precision: str | None = None,
        input: str | None = None,
        is_stream: bool = False,
    ) -> Backend:
        """See `ModelSource.open`; `types` and `batch` are those of each run, the rest was chosen with the source."""
        refuse_ignored({"threads": threads}, f"with `backend={TRITON}`; leave it out")
        packed, self._packed = self._packed, None  # a backend that was closed cannot run again
        return packed if packed is not None and input in (None, "z") else self._pack(input or "z")

    def _pack(self, input: str = "z") -> TritonBackend:
        from sgi.engine.backends.triton import TritonBackend

        return TritonBackend(
            self._network, self._recipe.offsets, precision=self.precision, device=self._device, input=input,
            **self._recipe.settings,
        )  # fmt: skip


def generator_source(
    generator: str | Path,
    offsets: Sequence[str | Path | Offset] = (),
    *,
    types: str | Sequence[str] | None = None,
    alpha: float = 1.0,
    psi: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    backend: str = AUTO,
    device: str = AUTO,
    precision: str | None = None,
    cache: bool = True,
    progress: Progress = SILENT,
) -> ModelSource:
    """A generator with offsets as a source of backends.

    generator: a generator file or a StyleGAN2 checkpoint of any format, or `bundled`. offsets, types, alpha, cutoff,
    noise_mode: as for `sgi.export.export_model`. psi: the default psi if the offsets do not agree on one.
    backend, device, precision: as for `sgi.engine.backends.open_backend`, and the backend triton, with fp16, bf16 or
    fp32; auto is triton on a GPU where it is installed. cache: keep the exported model, and use a kept one.

    Raises UserError for values that are invalid, a file that is not a generator, a backend that cannot run here, and a
    cache that cannot be written.
    """
    bundled = str(generator) == BUNDLED
    path = bundle.GENERATOR if bundled else check_path(generator, "generator")
    try:
        check_regular(path)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"`generator={generator}`: {reason}") from None
    psi = None if psi is None else check_psi(psi)
    recipe = model_recipe(
        bundled=bundled, offsets=offsets, types=types, alpha=alpha, other_psi=psi, cutoff=cutoff, noise_mode=noise_mode
    )
    on = triton_device(backend, device)
    if on is not None:
        return TritonModel(path, recipe, on, precision)
    _check_backend(backend, device, precision)
    return _exported(path, recipe, cache, progress)


def _exported(path: Path, recipe: ModelRecipe, cache: bool, progress: Progress) -> ExportedModel:
    content = sha256_file(path)

    def export(out: Path) -> None:
        lacking = missing_export_package()
        if lacking is not None:
            raise UserError(f"`generator={path}`: it is exported first, and {lacking}")
        from sgi.engine.generator import checkpoints
        from sgi.export.onnx import export_onnx

        network = checkpoints.load(path)
        kept = "; later runs use the exported model" if cache else ""
        message = f"exporting {one_line(path.name, 80)}{kept}"
        export_onnx(network, recipe.offsets, out, progress=progress, message=message, **recipe.settings)
        if sha256_file(path) != content:
            raise UserError(f"`generator={path}`: the file changed while it was read; run again")

    if not cache:
        try:
            folder = TemporaryFolder()
            out = folder.path / "model.onnx"
            export(out)
        except OSError as error:
            raise UserError(
                f"`cache=False`: the temporary folder {gettempdir()} cannot be written "
                f"({error.strerror or error}): free space there, or set TMPDIR to another folder"
            ) from None
        return ExportedModel(out, another=_ANOTHER_GENERATOR, keep=folder)
    model, sha256 = ModelCache.of_user().get(_key(content, recipe), export, progress)
    return ExportedModel(model, sha256, _ANOTHER_GENERATOR)


def _key(content: str, recipe: ModelRecipe) -> str:
    """A hash of everything that determines the exported file: contents of the files, settings and version."""
    outputs = [
        (name, None if offset is None else [offset.summary, offset.intrinsic.to_dict(), offset.generator_sha256])
        for name, offset in recipe.offsets.items()
    ]
    facts = {"version": __version__, "generator": content, "outputs": outputs, **recipe.settings}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _check_backend(backend: str, device: str, precision: str | None) -> None:
    """Raise UserError, before the export, for a backend that cannot run its result here."""
    name, chosen = choose_backend(Path("model.onnx"), backend, device, precision)
    reason = missing(name, chosen)
    if reason is not None:
        raise UserError(reason)
