"""Files of latents: .npz as NVIDIA's projector writes, .npy, and the w+ files of `sgi-engine invert`. Torch-free.

A latent is z, w or w+; w and w+ are after truncation. Nothing in a file is unpickled. docs/formats.md has the layouts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from sgi.engine.artifact import Artifact
from sgi.engine.budget import read_npy, read_npz
from sgi.engine.errors import UserError, one_line
from sgi.engine.foreign_file import foreign
from sgi.engine.model_file import taking
from sgi.engine.tensor_file import FileKind, tensors_sha256

Kind = Literal["z", "w", "w+"]
KINDS: tuple[Kind, ...] = ("z", "w", "w+")
WS_TENSOR = "ws"
LATENT_NAMES: dict[str, tuple[Kind, ...]] = {"z": ("z",), "w": ("w", "w+"), WS_TENSOR: ("w+",), "latents": KINDS}
"""Names of arrays of latents in .npz files -> kinds that they can be; the projector's `w` is w+."""
_TORCH = (".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_NUMBERS = "fiu"  # dtype kinds
_REMEDY = "write an array of numbers with `numpy.save`"
_OWN = ("a NumPy array", "an .npz archive", "a zip archive")
"""What `foreign` calls damaged files of these formats."""
_SHOWN = 60


class LatentsHeader(msgspec.Struct):
    """Header of a w+ file: of an inverted picture, or of an image that a viewer showed.

    generator_sha256: hash of the generator. noise_mode: of the rendering G(ws). psnr: of G(ws) against the picture, in
    decibels, and picture: its file name; None and empty where the latents are not of a picture. settings: of the
    search.
    """

    generator_sha256: str
    noise_mode: str
    psnr: float | None = None
    picture: str = ""
    settings: dict[str, Any] = {}


FILE = FileKind("sgi_latents", 1, LatentsHeader, "a w+", "make one with `sgi-engine invert`")


@dataclass(frozen=True)
class LatentSizes:
    """Sizes of the latents that a model takes: z [N, z_dim], w [N, w_dim], w+ [N, num_ws, w_dim].

    kinds: those of `KINDS` that it takes. generator_sha256: hash of its generator. noise_mode: none or const; None is
    not compared.
    """

    z_dim: int
    w_dim: int
    num_ws: int
    kinds: tuple[Kind, ...]
    generator_sha256: str
    noise_mode: str | None = None

    def shape(self, kind: Kind) -> tuple[int, ...]:
        """The shape of one latent."""
        return {"z": (self.z_dim,), "w": (self.w_dim,), "w+": (self.num_ws, self.w_dim)}[kind]

    def text(self, kinds: Sequence[Kind]) -> str:
        """The shapes of these kinds for messages: `z [N, 8] or w [N, 12]`."""
        return " or ".join(f"{kind} [N, {', '.join(map(str, self.shape(kind)))}]" for kind in kinds)


def sizes_of(model: Path, artifact: Artifact) -> LatentSizes:
    """The latents that a model takes; an .onnx file that takes z can be opened to take w and w+ also."""
    kinds: tuple[Kind, ...] = {"z": KINDS, "w": ("w",), "w+": ("w", "w+")}[artifact.input]
    w_dim = artifact.w_dim
    if w_dim is None:
        try:
            w_dim = taking(model, artifact, "w+").w_dim
        except UserError:  # an engine, or a graph of another exporter
            kinds = ("z",)
    return LatentSizes(
        artifact.z_dim, w_dim or 0, artifact.num_ws, kinds, artifact.generator["sha256"], artifact.noise_mode
    )


@dataclass(frozen=True)
class Latents:
    """Latents of one kind.

    kind: z, w or w+. rows: [N, z_dim], [N, w_dim] or [N, num_ws, w_dim] float32, finite, in C order. files: name and
    number of latents of each file, in the order of rows.
    """

    kind: Kind
    rows: NDArray[np.float32]
    files: tuple[tuple[str, int], ...]

    @property
    def sha256(self) -> str:
        """Tensor hash of the rows under the name of their kind: the same for every container and dtype of a file."""
        return tensors_sha256({self.kind: self.rows})


@dataclass(frozen=True)
class _Stored:
    """An array of a file, the kinds that it can be, and the header of a w+ file."""

    array: NDArray[Any]
    kinds: tuple[Kind, ...]
    header: LatentsHeader | None = None


def read_latents(paths: Sequence[str | Path], sizes: LatentSizes, kind: str | None = None) -> Latents:
    """Read the latents of files, one file after the other.

    sizes: of the model. kind: z, w or w+; None is the only kind that the name of the array and its shape allow. One
    latent without the axis N counts as N = 1. Numbers of every width are read, and converted to float32.

    Raises UserError for files that cannot be read or have no such latents, for shapes that the model does not take or
    that more than one kind has, for values that are not finite, for latents of another generator, and for files of
    different kinds. Warns of latents that were found with other noise than that of the model.
    """
    if kind is not None and kind not in KINDS:
        raise UserError(f"`latents_kind={one_line(kind, _SHOWN)}`: choose from {', '.join(KINDS)}")
    if kind is not None and kind not in sizes.kinds:
        remedy = f"make one with `sgi-engine export --input {kind}`"
        raise UserError(f"`latents_kind={kind}`: the model takes {sizes.text(sizes.kinds)}; {remedy}")
    if not paths:
        raise UserError("`latents` is empty: give at least one file")
    found: Kind | None = None
    parts: list[NDArray[np.float32]] = []
    for path in map(Path, paths):
        stored = _read(path, kind)
        if stored.header and stored.header.generator_sha256 != sizes.generator_sha256:
            raise UserError(
                f"`latents={path}`: its latents belong to generator {one_line(stored.header.generator_sha256[:12])}, "
                f"and the model to {sizes.generator_sha256[:12]}; give a model of the same generator"
            )
        if stored.header and sizes.noise_mode not in (None, stored.header.noise_mode):
            noise = one_line(stored.header.noise_mode, _SHOWN)
            warnings.warn(
                f"`latents={path}`: found with noise {noise}, and the model has {sizes.noise_mode}: the image will not "
                "be the inverted picture",
                stacklevel=2,
            )
        own, rows = _rows(path, stored, sizes, kind)
        if found not in (None, own):
            raise UserError(f"`latents={path}`: its latents are {own}, those before it {found}; run them separately")
        found = own
        parts.append(rows)
    assert found is not None
    rows = parts[0] if len(parts) == 1 else np.concatenate(parts)
    files = tuple((path.name, len(part)) for path, part in zip(map(Path, paths), parts, strict=True))
    return Latents(found, rows, files)


def _read(path: Path, kind: str | None) -> _Stored:
    """The array of a file, unchecked but for its dtype."""
    try:
        if path.suffix == ".npz":
            stored = _choose(path, read_npz(path), kind)
        elif path.suffix == ".npy":
            stored = _Stored(read_npy(path), KINDS)
        elif path.suffix == ".safetensors":
            header, tensors = FILE.read(path)
            if WS_TENSOR not in tensors:
                raise UserError(f"{path}: the w+ file has no tensor {WS_TENSOR}; {FILE.remedy}")
            stored = _Stored(tensors[WS_TENSOR], ("w+",), header)
        else:
            what = "a file of PyTorch: " if path.suffix in _TORCH else ".npz, .npy and .safetensors files are read: "
            remedy = "write its tensor with `numpy.save('latents.npy', tensor.cpu().numpy())`"
            raise UserError(f"`latents={path}`: {what}{remedy if path.suffix in _TORCH else _REMEDY}")
    except FileNotFoundError:
        raise UserError(f"`latents={path}`: no such file") from None
    except OSError as error:
        raise UserError(f"`latents={path}`: cannot be read ({error.strerror or error})") from None
    except ValueError as error:
        what = foreign(path, _REMEDY) or ""
        if not what or what.startswith(_OWN):
            what = f"{one_line(str(error), 2 * _SHOWN)}; copy it again, or {_REMEDY}"
        raise UserError(f"`latents={path}`: not a readable file of latents: {what}") from None
    if stored.array.dtype.kind not in _NUMBERS:
        raise UserError(f"`latents={path}`: it has values of the type {stored.array.dtype}; {_REMEDY}")
    return stored


def _choose(path: Path, arrays: dict[str, NDArray[Any]], kind: str | None) -> _Stored:
    """The array of an .npz file that holds latents: of a known name, or the only one."""
    known = {name: kinds for name, kinds in LATENT_NAMES.items() if name in arrays and (kind is None or kind in kinds)}
    names = ", ".join(one_line(name, 20) for name in list(arrays)[:5])
    if len(known) > 1:
        raise UserError(
            f"`latents={path}`: it has several arrays of latents ({', '.join(known)}); write a file with one of them"
        )
    if known:
        ((name, kinds),) = known.items()
        return _Stored(arrays[name], kinds)
    if len(arrays) != 1 or set(arrays) & set(LATENT_NAMES):
        wanted = " or ".join(name for name, kinds in LATENT_NAMES.items() if kind is None or kind in kinds)
        what = kind or "latents"
        raise UserError(
            f"`latents={path}`: its arrays are {names or 'none'}; the name of an array of {what} is {wanted}"
        )
    return _Stored(next(iter(arrays.values())), KINDS)


def _rows(path: Path, stored: _Stored, sizes: LatentSizes, kind: str | None) -> tuple[Kind, NDArray[np.float32]]:
    """Kind and rows of an array; kind: what the caller says that it is."""
    shape = stored.array.shape
    asked = [name for name in sizes.kinds if name in stored.kinds and kind in (None, name)]
    fitting = [name for name in asked if sizes.shape(name) in (shape, shape[1:])]
    if not fitting:
        needed = sizes.text(asked or sizes.kinds)
        remedy = "" if sizes.kinds != ("z",) else "; one of `sgi-engine export --input w+` takes w and w+"
        stated = "" if stored.kinds == KINDS else f", by its name {' or '.join(stored.kinds)},"
        raise UserError(
            f"`latents={path}`: its array {list(shape)}{stated} does not fit: the model needs {needed}{remedy}"
        )
    if len(fitting) > 1:
        raise UserError(
            f"`latents={path}`: its array {list(shape)} can be {' or '.join(fitting)}; say which with `latents_kind`"
        )
    (own,) = fitting
    if not stored.array.size:
        raise UserError(f"`latents={path}`: its array {list(shape)} has no latents")
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(stored.array, np.float32).reshape(-1, *sizes.shape(own))
    wrong = np.flatnonzero(~np.isfinite(rows.reshape(len(rows), -1)).all(axis=1))
    if len(wrong):
        raise UserError(f"`latents={path}`: latent {wrong[0]} contains values that are not finite in float32")
    return own, rows
