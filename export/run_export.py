"""Export a generator and offsets as one verified file of any format; the function behind `sgi-engine export`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, checkpoints
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.export.exporter import Exported, Exporter, Source
from sgi.export.exporters import get_exporter
from sgi.export.onnx import export_onnx

ALL = "all"
T = TypeVar("T")


def export_model(
    *,
    generator: str | Path | Generator | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    types: Sequence[str] | None = None,
    file_format: str = "onnx",
    out: str | Path | None = None,
    alpha: float = 1.0,
    psi: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Exported:
    """Bake offsets into a generator, verify the model against torch, and write it as one file or folder.

    generator: file or loaded generator, None for the bundled one. offsets: files or loaded offsets; with the bundled
    generator, bundled offsets are used for all other types. types: outputs of the model; `image` is the picture, `all`
    the picture and every type with an offset; None is the types of `offsets`, or `all` if these are empty. file_format:
    a name in `sgi.export.exporters`. out: file or folder to write; None is TYPE.onnx, maps.onnx for several types, or
    the folder models.
    alpha: factor of every offset: 0 gives the picture, 1 the map. psi: default truncation of the model; cutoff: number
    of rows of w+ that it truncates; noise_mode: none or const; None is the value that the offsets were fitted with.
    precision: of the convolutions, fp32, fp16 or bf16. opset: of ONNX, None for 20, or 22 in bf16.
    options: fields of the format's `Exporter.settings`, such as `builder` and `batch_profile` of tensorrt.

    Raises UserError for invalid values and for a model that does not reproduce the generator; then nothing is written.
    """
    exporter = get_exporter(file_format)
    if not math.isfinite(alpha):
        raise UserError(f"`alpha={alpha}`: must be finite")
    chosen = choose_offsets(types, offsets, bundled=generator is None)
    if alpha != 1:
        chosen = {name: None if offset is None else offset.scaled(alpha) for name, offset in chosen.items()}
    fitted = [offset for offset in chosen.values() if offset is not None]
    psi = _agreed("psi", psi, {offset.psi for offset in fitted}, 1.0)
    default_noise = "none" if generator is None else "const"
    noise_mode = _agreed("noise_mode", noise_mode, {offset.noise_mode for offset in fitted}, default_noise)
    if noise_mode not in ("none", "const"):
        raise UserError(f"`noise_mode={noise_mode}`: an exported model has none or const")
    if cutoff is None:
        cutoff = _agreed("cutoff", None, {offset.cutoff for offset in fitted}, None)
    name = next(iter(chosen)) if len(chosen) == 1 else "maps"
    target = _target(out, name, exporter)
    settings = _settings(exporter, file_format, options)
    exporter.check(settings)
    network = generator if isinstance(generator, Generator) else checkpoints.load(generator or bundle.GENERATOR)
    write_onnx = partial(
        export_onnx, network, chosen, psi=psi, cutoff=cutoff, noise_mode=noise_mode, precision=precision, opset=opset,
        progress=progress,
    )  # fmt: skip
    return exporter.write(Source(name, write_onnx), target, settings, progress)


def choose_offsets(
    types: Sequence[str] | None, offsets: Sequence[str | Path | Offset], bundled: bool
) -> dict[str, Offset | None]:
    """Type -> offset (None for `image`) in the order of `types`.

    types, offsets: see `export_model`. bundled: whether types without an offset in `offsets` use the bundled one.
    Raises UserError for a type that has no offset and for two offsets of one type.
    """
    given: dict[str, Offset] = {}
    for item in offsets:
        offset = item if isinstance(item, Offset) else Offset.load(item)
        if offset.type in given:
            shown = offset.type if isinstance(item, Offset) else item
            raise UserError(f"`offsets={shown}`: a second offset of type {offset.type}; pass one per type")
        given[offset.type] = offset
    own = list(given)
    if bundled:
        for name in {*intrinsics.MAP_TYPES, *(types or [])} - {*given, ALL}:
            if bundle.offset(name).exists():
                given[name] = Offset.load(bundle.offset(name))
    names = [name if name in given else intrinsics.get(name).name for name in types or [] if name != ALL]
    if ALL in (types or []) or not (types or own):
        maps = [name for name in intrinsics.MAP_TYPES if name in given]
        names = [*dict.fromkeys([intrinsics.IMAGE, *maps, *given])]
    elif not types:
        names = own
    for name in names:
        if name != intrinsics.IMAGE and name not in given:
            command = f"sgi-engine train --type {name}"
            raise UserError(f"`types={name}`: no offset for it; pass `offsets=FILE` or fit one with `{command}`")
    return {name: None if name == intrinsics.IMAGE else given[name] for name in names}


def _target(out: str | Path | None, name: str, exporter: Exporter) -> Path:
    suffixes = exporter.suffixes
    target = Path(out or (f"{name}{suffixes[0]}" if suffixes else "models"))
    if suffixes and target.suffix not in suffixes:
        raise UserError(f"`out={target}`: the name must end in {' or '.join(suffixes)}")
    if not target.parent.is_dir():
        raise UserError(f"`out={target}`: there is no folder {target.parent}; make it first")
    return target


def _settings(exporter: Exporter, file_format: str, options: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(exporter.settings)]
    for name in options:
        if name not in known:
            raise UserError(f"`{name}`: not an option of the format {file_format}; leave it out")
    return exporter.settings(**options)


def _agreed(name: str, given: T | None, fitted: set[T], default: T) -> T:
    """The given value, or else the one that all offsets were fitted with; raises UserError if they differ."""
    if given is not None:
        return given
    if len(fitted) > 1:
        raise UserError(f"`{name}`: the offsets were fitted with {sorted(map(str, fitted))}; choose one")
    return next(iter(fitted), default)
