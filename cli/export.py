"""`sgi-engine export`: a generator and its offsets as one verified file."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sgi.engine.artifact import Artifact
    from sgi.engine.offsets import Offset

ALL = "all"
ONNX, TENSORRT, SERVER = "onnx", "tensorrt", "triton-server"
SUFFIXES = {ONNX: (".onnx",), TENSORRT: (".engine", ".plan"), SERVER: ("",)}  # of --out; the first is its default
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
    alpha: Annotated[
        float, typer.Option("--alpha", help="How far to go along every offset: 0 is the picture, 1 the map.")
    ] = 1.0,
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
    file_format: Annotated[
        str, typer.Option("--format", help="onnx, tensorrt or triton-server, a model repository.")
    ] = ONNX,
    builder: Annotated[
        str, typer.Option("--builder", help="Builds the engine: tensorrt, tensorrt_rtx, or auto.")
    ] = "auto",
    batch_profile: Annotated[
        str, typer.Option("--batch-profile", help="Least, best and largest batch of an engine or server.")
    ] = "1,8,16",
    level: Annotated[
        int | None, typer.Option("--optimization-level", help="Of the engine's builder, 0 to 5. Default: its own.")
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option("--timing-cache", help="Keep the builder's kernel timings in this file.")
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option("--compute-capability", help="GPUs a TensorRT-RTX engine is for, such as SM120; repeat it."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the model in the server's repository.")] = None,
    server_model: Annotated[str, typer.Option("--server-model", help="What the server runs: onnx or tensorrt.")] = ONNX,
) -> None:
    """Bake offsets into a generator, write one verified file, and build an engine or a server's repository of it."""
    from rich.console import Console

    from sgi.engine.generator import checkpoints
    from sgi.export.onnx import export_onnx

    if file_format not in SUFFIXES:
        raise UserError(f"--format {file_format}: choose from {', '.join(SUFFIXES)}")
    if not math.isfinite(alpha):
        raise UserError(f"--alpha {alpha}: must be finite")
    chosen = choose_offsets(types, offset or [], bundled=generator is None)
    if alpha != 1:
        chosen = {map_name: None if o is None else o.scaled(alpha) for map_name, o in chosen.items()}
    fitted = [o for o in chosen.values() if o is not None]
    psi = _agreed("--trunc", trunc, {o.psi for o in fitted}, 1.0)
    noise = _agreed(
        "--noise-mode", noise_mode, {o.noise_mode for o in fitted}, "none" if generator is None else "const"
    )
    if noise not in ("none", "const"):
        raise UserError(f"--noise-mode {noise}: an exported model has none or const")
    if cutoff is None:
        cutoff = _agreed("--trunc-cutoff", None, {o.cutoff for o in fitted}, None)
    stem, suffixes = next(iter(chosen)) if len(chosen) == 1 else "maps", SUFFIXES[file_format]
    target = out or Path("models" if file_format == SERVER else f"{stem}{suffixes[0]}")
    if file_format != SERVER and target.suffix not in suffixes:
        raise UserError(f"--out {target}: the name must end in {' or '.join(suffixes)}")
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: there is no folder {target.parent}; make it first")
    settings = None
    if file_format != ONNX:
        from sgi.export.tensorrt import BuildSettings, load_module

        settings = BuildSettings(builder, _batches(batch_profile), level, timing_cache, tuple(capability or ()))
        if file_format == TENSORRT or server_model == TENSORRT:
            load_module(settings)  # what is missing is said before the work, not after
    console = Console()
    with TemporaryDirectory() as folder:
        model = target if file_format == ONNX else Path(folder) / f"{stem}.onnx"
        with console.status("exporting and verifying"):
            network = checkpoints.load(generator or bundle.GENERATOR)
            artifact = export_onnx(
                network, chosen, model, psi=psi, cutoff=cutoff, noise_mode=noise, precision=precision, opset=opset
            )
        _report(console, model if file_format == ONNX else Path(model.name), artifact)
        if settings is None:
            return
        with console.status("building"):
            if file_format == TENSORRT:
                from sgi.export.tensorrt import build_engine

                facts = build_engine(model, target, settings)["builder"]
                where = ", ".join(facts["targets"]) or facts["gpu"]
                console.print(f"{target}: built by {facts['module']} {facts['version']} for {where}")
            else:
                from sgi.export.triton_server import write_repository

                folder_written = write_repository(model, target, name or stem, settings, server_model)
                console.print(f"{folder_written}: serve it with `tritonserver --model-repository {target.resolve()}`")


def _batches(text: str) -> tuple[int, int, int]:
    try:
        least, best, largest = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--batch-profile {text}: give three numbers, such as 1,8,16") from None
    return least, best, largest


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
        for name in {*intrinsics.MAP_TYPES, *(types or [])} - {*given, ALL}:
            if bundle.offset(name).exists():
                given[name] = Offset.load(bundle.offset(name))
    names = [name if name in given else intrinsics.get(name).name for name in types or [] if name != ALL]
    if ALL in (types or []) or (types is None and not files):
        maps = [name for name in intrinsics.MAP_TYPES if name in given]
        names = [*dict.fromkeys([intrinsics.IMAGE, *maps, *given])]
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
    for runtime, by_type in artifact.parity["runtimes"].items():
        for name, figures in by_type.items():
            if "differ" in figures:
                console.print(
                    f"{name} through {runtime}: {figures['differ']:.2%} of the pixels are of another class; the "
                    "largest error is how far they are from the border of the two."
                )
    for runtime, why in artifact.parity["left_out"].items():
        console.print(f"{runtime} was left out: {why}.")
