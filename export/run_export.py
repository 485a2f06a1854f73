"""Export a generator and offsets as one verified file of any format; the function behind `sgi-engine export`."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sgi.engine import bundle, intrinsics
from sgi.engine.arguments import check_psi, names_of_types
from sgi.engine.artifact import INPUTS, NOISE_CHOICES
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.generator import Generator, checkpoints
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.seeds import SEED_MAX
from sgi.export.exporter import Exported, Exporter, Source
from sgi.export.exporters import get_exporter
from sgi.export.onnx import export_onnx

ALL = "all"
T = TypeVar("T")


def export_model(
    *,
    generator: str | Path | Generator | None = None,
    offsets: Sequence[str | Path | Offset] = (),
    types: str | Sequence[str] | None = None,
    file_format: str = "onnx",
    out: str | Path | None = None,
    alpha: float = 1.0,
    psi: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    noise_seed: int | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    input: str = "z",
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
    of rows of w+ that it truncates; noise_mode: none, const or random; None for those of the offsets' fits.
    noise_seed: with random, the seed of the noise that is stored in the model, so that runs repeat; None for 0.
    precision: of the convolutions, fp32, fp16 or bf16. opset: of ONNX, None for 20, or 22 in bf16.
    input: what the model takes, z (with psi), w or w+ (both after truncation, so that psi and cutoff do not apply).
    options: fields of the format's `Exporter.settings`, such as `builder` and `batch_profile` of tensorrt.

    Raises UserError for invalid values and for a model that does not reproduce the generator; then nothing is written.
    """
    exporter = get_exporter(file_format)
    if input not in INPUTS:
        raise UserError(f"`input={input}`: choose from {', '.join(INPUTS)}")
    if input != "z":
        refuse_ignored({"psi": psi, "cutoff": cutoff}, f"with `input={input}`, which is after truncation; leave it out")
    types = names_of_types(types)
    if psi is not None:
        check_psi(psi)
    if isinstance(generator, str | Path) and not Path(generator).exists():
        raise UserError(f"`generator={generator}`: no such file")
    if not math.isfinite(alpha):
        raise UserError(f"`alpha={alpha}`: must be finite")
    chosen = choose_offsets(types, offsets, bundled=generator is None)
    if alpha != 1:
        if not any(chosen.values()):
            refuse_ignored({"alpha": alpha}, "without offsets: the only output is the picture")
        chosen = {name: None if offset is None else offset.scaled(alpha) for name, offset in chosen.items()}
    fitted = [offset for offset in chosen.values() if offset is not None]
    _warn_of_class(fitted)
    psi = _agreed("psi", psi, {offset.psi for offset in fitted}, 1.0)
    default_noise = "none" if generator is None else "const"
    noise_mode = _agreed("noise_mode", noise_mode, {offset.noise_mode for offset in fitted}, default_noise)
    if noise_mode not in NOISE_CHOICES:
        raise UserError(f"`noise_mode={noise_mode}`: choose from {', '.join(NOISE_CHOICES)}")
    if noise_mode == "random":
        noise_mode, noise_seed = "const", 0 if noise_seed is None else noise_seed
        if not 0 <= noise_seed <= SEED_MAX:
            raise UserError(f"`noise_seed={noise_seed}`: a seed is an integer from 0 to {SEED_MAX}")
    elif noise_seed is not None:
        raise UserError(f"`noise_seed={noise_seed}`: only with `noise_mode=random`")
    if cutoff is None:
        cutoff = _agreed("cutoff", None, {offset.cutoff for offset in fitted}, None)
    name = next(iter(chosen)) if len(chosen) == 1 else "maps"
    target = _target(out, name, exporter)
    settings = _settings(exporter, file_format, options)
    exporter.check(settings)
    network = generator if isinstance(generator, Generator) else checkpoints.load(generator or bundle.GENERATOR)
    if noise_seed is not None and not any(map(_has_noise, network.synthesis.modules())):
        raise UserError(
            "`noise_mode=random` has no effect: all noise strengths of the generator are 0; use none or const"
        )
    write_onnx = partial(
        export_onnx, network, chosen, psi=psi, cutoff=cutoff, noise_mode=noise_mode, noise_seed=noise_seed,
        precision=precision, opset=opset, input=input, progress=progress,
    )  # fmt: skip
    return exporter.write(Source(name, write_onnx), target, settings, progress)


def choose_offsets(
    types: Sequence[str] | None, offsets: Sequence[str | Path | Offset], bundled: bool
) -> dict[str, Offset | None]:
    """Type -> offset (None for `image`) in the order of `types`.

    types, offsets: see `export_model`. bundled: whether types without an offset in `offsets` use the bundled one.
    Raises UserError for a type that has no offset, two offsets of one type, and an offset of another type.
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
    for name, item in zip(own, offsets, strict=True):
        if name not in names:
            shown = name if isinstance(item, Offset) else item
            raise UserError(
                f"`offsets={shown}` has no effect: it is an offset of {name}, and `types` has {', '.join(names)}; "
                "choose its type too, or leave it out"
            )
    return {name: None if name == intrinsics.IMAGE else given[name] for name in names}


def _warn_of_class(offsets: Sequence[Offset]) -> None:
    """Warn of offsets that were fitted on one class, because the model takes any class."""
    classes = {offset.type: offset.fit.get("class_index") for offset in offsets}
    fitted = [f"{name} on class {index}" for name, index in classes.items() if index is not None]
    if fitted:
        warnings.warn(
            f"the offsets were fitted on one class each ({', '.join(fitted)}): maps of other classes are not verified",
            stacklevel=3,
        )


def _target(out: str | Path | None, name: str, exporter: Exporter) -> Path:
    suffixes = exporter.suffixes
    target = Path(out or (f"{name}{suffixes[0]}" if suffixes else "models"))
    # A suffix may have several dots. Something must precede it: `.onnx` alone is a hidden file.
    if suffixes and not target.name[1:].endswith(suffixes):
        raise UserError(f"`out={target}`: the name must end in {' or '.join(suffixes)}")
    check_writable(target, folder=not suffixes)
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


def _has_noise(module: Any) -> bool:
    strength = getattr(module, "noise_strength", None)
    return strength is not None and bool(strength.any())
