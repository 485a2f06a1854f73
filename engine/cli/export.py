"""`sgi-engine export`: a generator and its offsets as one verified file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sgi.engine.artifact import Artifact
    from sgi.engine.offsets import Offset

ALL = "all"
T = TypeVar("T")


def export(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Map to export; repeat it for several outputs, or `all`. `image` is the picture."),
    ] = None,
    generator: Annotated[
        Path | None, typer.Option("--generator", help="Generator file. Default: the bundled rooms.")
    ] = None,
    offset: Annotated[
        list[Path] | None, typer.Option("--offset", help="Offset file; repeat it. Default: the bundled ones.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: TYPE.onnx, or maps.onnx for several.")
    ] = None,
    trunc: Annotated[
        float | None, typer.Option("--trunc", help="Default psi of the model. Default: that of the offsets.")
    ] = None,
    cutoff: Annotated[
        int | None, typer.Option("--trunc-cutoff", min=0, help="Truncate only the first rows of w+.")
    ] = None,
    noise_mode: Annotated[
        str | None, typer.Option("--noise-mode", help="none or const. Default: that of the offsets.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Of the convolutions: fp32, fp16 or bf16; all else stays fp32.")
    ] = "fp32",
    opset: Annotated[int | None, typer.Option("--opset", help="ONNX opset, 18 to 23. Default: 20, bf16 22.")] = None,
) -> None:
    """Bake offsets into a generator, write one ONNX file, and verify it against torch."""
    from rich.console import Console

    from sgi.engine.generator import checkpoints
    from sgi.export.onnx import export_onnx

    chosen = choose_offsets(types, offset or [], bundled=generator is None)
    fitted = [o for o in chosen.values() if o is not None]
    psi = _agreed("--trunc", trunc, {o.psi for o in fitted}, 1.0)
    noise = _agreed(
        "--noise-mode", noise_mode, {o.noise_mode for o in fitted}, "none" if generator is None else "const"
    )
    if noise not in ("none", "const"):
        raise UserError(f"--noise-mode {noise}: an exported model has none or const")
    if cutoff is None:
        cutoff = _agreed("--trunc-cutoff", None, {o.cutoff for o in fitted}, None)
    target = out or Path(f"{next(iter(chosen))}.onnx" if len(chosen) == 1 else "maps.onnx")
    if target.suffix != ".onnx":
        raise UserError(f"--out {target}: the name must end in .onnx")
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: there is no folder {target.parent}; make it first")
    console = Console()
    with console.status("exporting and verifying"):
        network = checkpoints.load(generator or bundle.GENERATOR)
        artifact = export_onnx(
            network, chosen, target, psi=psi, cutoff=cutoff, noise_mode=noise, precision=precision, opset=opset
        )
    _report(console, target, artifact)


def choose_offsets(types: list[str] | None, files: list[Path], bundled: bool) -> dict[str, Offset | None]:
    """Offsets by type, in the order asked for (`image`: None), from files and, if `bundled`, the bundle.

    Without types, those of the files, or all of the bundle. Raises UserError for a type that has no offset.
    """
    from sgi.engine.offsets import Offset

    given: dict[str, Offset] = {}
    for path in files:
        loaded = Offset.load(path)
        if loaded.type in given:
            raise UserError(f"--offset {path}: a second offset of type {loaded.type}; give one a type")
        given[loaded.type] = loaded
    if bundled:
        for name in intrinsics.MAP_TYPES:
            if name not in given and bundle.offset(name).exists():
                given[name] = Offset.load(bundle.offset(name))
    names = [intrinsics.get(name).name for name in types or [] if name != ALL]
    if ALL in (types or []) or (types is None and not files):
        names = [intrinsics.IMAGE, *given]
    elif types is None:
        names = [Offset.load(path).type for path in files]
    for name in names:
        if name != intrinsics.IMAGE and name not in given:
            raise UserError(
                f"--type {name}: no offset for it; pass --offset FILE or fit one with `sgi-engine train --type {name}`"
            )
    return {name: None if name == intrinsics.IMAGE else given[name] for name in names}


def _agreed(flag: str, asked: T | None, fitted: set[T], default: T) -> T:
    """What the user asked for, else what all offsets were fitted under; raises UserError if they disagree."""
    if asked is not None:
        return asked
    if len(fitted) > 1:
        raise UserError(f"{flag}: the offsets were fitted under {sorted(map(str, fitted))}; say which to use")
    return next(iter(fitted), default)


def _report(console: Console, path: Path, artifact: Artifact) -> None:
    from rich.table import Table

    table = Table(title=f"{path}: verified on seeds 0 to {artifact.parity['seeds'] - 1}", title_justify="left")
    for column in ("type", "runtime", "largest error", "RMS error", "PSNR at 8 bits"):
        table.add_column(column)
    for runtime, by_type in artifact.parity["runtimes"].items():
        for name, figures in by_type.items():
            table.add_row(name, runtime, f"{figures['max']:.1e}", f"{figures['rms']:.1e}", f"{figures['psnr']:.1f} dB")
    console.print(table)
    console.print("Errors are fractions of the type's range; 99 dB stands for equal maps.")
    for runtime, why in artifact.parity["left_out"].items():
        console.print(f"{runtime} was left out: {why}.")
