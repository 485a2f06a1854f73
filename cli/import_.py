"""`sgi-engine import`: a checkpoint of another project as a generator file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.terminal import new_console


def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A StyleGAN2 .pkl by NVIDIA (PyTorch or TensorFlow), a rosinality .pt, a pSp or e4e .pt, "
            "or a converted state dict.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write. Default: name of FILE with .safetensors, in this folder."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size, rounded weights.")] = False,
) -> None:
    """Convert a StyleGAN2 checkpoint to a generator file; nothing in it is executed."""
    from sgi.engine.generator.checkpoints.import_checkpoint import import_checkpoint

    report = import_checkpoint(checkpoint, out, half=half)
    classes = f", {report.config.c_dim} classes" if report.config.c_dim else ""
    console = new_console(soft_wrap=True)
    console.print(
        f"{report.out}: {report.config.resolution} px{classes}, read as {report.format}; sha256 {report.sha256}"
    )
    for line in report.assumed:
        console.print(f"assumed: {line}")
    if report.dropped:
        console.print(f"not imported: {', '.join(report.dropped)}")
