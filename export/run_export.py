"""Export a generator and offsets as one verified file of any format; the function behind `sgi-engine export`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from sgi.engine import bundle
from sgi.engine.artifact import INPUTS
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.generator import Generator, checkpoints
from sgi.engine.model_recipe import model_recipe
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.export.exporter import Exported, Exporter, Source
from sgi.export.exporters import get_exporter
from sgi.export.onnx import export_onnx


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
    if isinstance(generator, str | Path) and not Path(generator).exists():
        raise UserError(f"`generator={generator}`: no such file")
    recipe = model_recipe(
        bundled=generator is None, offsets=offsets, types=types, alpha=alpha, psi=psi, cutoff=cutoff,
        noise_mode=noise_mode, noise_seed=noise_seed,
    )  # fmt: skip
    _warn_of_class(recipe.fitted)
    name = next(iter(recipe.offsets)) if len(recipe.offsets) == 1 else "maps"
    target = _target(out, name, exporter)
    settings = _settings(exporter, file_format, options)
    exporter.check(settings)
    network = generator if isinstance(generator, Generator) else checkpoints.load(generator or bundle.GENERATOR)
    write_onnx = partial(
        export_onnx, network, recipe.offsets, precision=precision, opset=opset, input=input, progress=progress,
        **recipe.settings,
    )  # fmt: skip
    return exporter.write(Source(name, write_onnx), target, settings, progress)


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
