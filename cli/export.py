"""`sgi-engine export`: a generator and its offsets as one verified file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli.options import GeneratorFile, OffsetFiles, Quiet, types_option
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console
from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from sgi.export import Exported


def export(
    types: Annotated[
        list[str] | None,
        types_option("Maps to export, such as image,depth, or `all`. `image` is the picture."),
    ] = None,
    generator: GeneratorFile = None,
    offsets: OffsetFiles = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write. Default: TYPE.onnx, or maps.onnx for several types.")
    ] = None,
    alpha: Annotated[
        float, typer.Option("--alpha", help="Factor of every offset: 0 gives the picture, 1 the map.")
    ] = 1.0,
    psi: Annotated[
        float | None, typer.Option("--trunc", help="Default psi of the model. Default: that of the offsets.")
    ] = None,
    cutoff: Annotated[
        int | None, typer.Option("--trunc-cutoff", min=0, help="Truncate only the first rows of w+.")
    ] = None,
    noise_mode: Annotated[
        str | None, typer.Option("--noise-mode", help="none, const or random. Default: that of the offsets.")
    ] = None,
    noise_seed: Annotated[
        int | None, typer.Option("--noise-seed", help="Seed of the random noise, which the model stores. Default: 0.")
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", help="Precision of the convolutions: fp32, fp16 or bf16.")
    ] = "fp32",
    opset: Annotated[
        int | None, typer.Option("--opset", help="ONNX opset, 18 to 23. Default: 20, for bf16 22.")
    ] = None,
    input: Annotated[
        str,
        typer.Option("--input", help="Latents that the model takes: z, or w or w+ after mapping and truncation."),
    ] = "z",
    file_format: Annotated[
        str, typer.Option("--format", help="onnx, tensorrt or triton-server (a model repository).")
    ] = "onnx",
    builder: Annotated[
        str | None,
        typer.Option("--builder", help="Builder of an engine: tensorrt, tensorrt_rtx or auto. Default: auto."),
    ] = None,
    batch_profile: Annotated[
        str | None,
        typer.Option("--batch-profile", help="Least, best and largest batch of an engine or server. Default: 1,8,16."),
    ] = None,
    optimization_level: Annotated[
        int | None,
        typer.Option("--optimization-level", help="Level of the builder, 0 to 5. Default: its own."),
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option("--timing-cache", help="File that keeps the builder's kernel timings.")
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option("--compute-capability", help="GPUs of a TensorRT-RTX engine, such as SM120; repeat it."),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model in the server's repository.")] = None,
    server_model: Annotated[
        str | None, typer.Option("--server-model", help="Model that the server runs: onnx or tensorrt. Default: onnx.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Bake offsets into a generator, verify the model, and write it as an .onnx, an engine or a server's repository."""
    from sgi.export import export_model

    options = {
        "builder": builder,
        "batch_profile": _batches(batch_profile) if batch_profile else None,
        "optimization_level": optimization_level,
        "timing_cache": timing_cache,
        "compute_capability": tuple(compute_capability) if compute_capability else None,
        "name": name,
        "server_model": server_model,
    }
    with progress(quiet) as shown:
        exported = export_model(
            generator=generator, offsets=offsets or [], types=types, file_format=file_format, out=out, alpha=alpha,
            psi=psi, cutoff=cutoff, noise_mode=noise_mode, noise_seed=noise_seed, precision=precision, opset=opset,
            input=input, progress=shown, **{option: value for option, value in options.items() if value is not None},
        )  # fmt: skip
    _report(new_console(), exported)


def _batches(text: str) -> tuple[int, int, int]:
    try:
        least, best, largest = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--batch-profile {text}: give three numbers, such as 1,8,16") from None
    return least, best, largest


def _report(console: Console, exported: Exported) -> None:
    from rich.table import Table

    path, artifact = exported.path, exported.artifact
    table = Table(title=f"{path}: verified on seeds 0 to {artifact.parity['seeds'] - 1}", title_justify="left")
    for column in ("type", "runtime", "largest error", "RMS error", "PSNR at 8 bits"):
        table.add_column(column)
    for runtime, by_type in artifact.parity["runtimes"].items():
        for name, figures in by_type.items():
            table.add_row(name, runtime, f"{figures['max']:.1e}", f"{figures['rms']:.1e}", f"{figures['psnr']:.1f} dB")
    console.print(table)
    console.print("Errors are fractions of the type's range; 99 dB means equal maps.")
    for runtime, by_type in artifact.parity["runtimes"].items():
        for name, figures in by_type.items():
            if "differ" in figures:
                console.print(
                    f"{name} through {runtime}: {figures['differ']:.2%} of the pixels have another class; the largest "
                    "error is their distance from the border of the two classes."
                )
    for runtime, why in artifact.parity["left_out"].items():
        console.print(f"{runtime} was left out: {why}.")
    if exported.remark:
        console.print(f"{path}: {exported.remark}")
