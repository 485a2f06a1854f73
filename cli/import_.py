"""`sgi-engine import`: a checkpoint of another code base as a native generator file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.engine.errors import UserError


def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A StyleGAN2 .pkl of NVIDIA's (PyTorch or TensorFlow), a rosinality .pt, a pSp or e4e .pt, "
            "or a converted state dict.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write. Default: FILE's name, .safetensors, here.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store float16: half the size, and a rounded network.")] = False,
) -> None:
    """Turn a StyleGAN2 checkpoint of any common format into a native generator, running none of its code."""
    target = out or Path(f"{checkpoint.stem}.safetensors")
    if target.suffix != ".safetensors":
        raise UserError(f"--out {target}: the name must end in .safetensors")
    if not target.parent.is_dir():
        raise UserError(f"--out {target}: there is no folder {target.parent}; make it first")
    if target.exists() and checkpoint.exists() and target.samefile(checkpoint):
        raise UserError(f"--out {target}: the checkpoint itself; give the new file another name")

    import torch
    from rich.console import Console

    from sgi.engine.files import sha256_file
    from sgi.engine.generator import save_generator
    from sgi.engine.generator.checkpoints import open_checkpoint

    with open_checkpoint(checkpoint) as found:
        network = found.generator()
        source = {"sha256": sha256_file(checkpoint), **found.notes()}
    sha256 = save_generator(target, network, {"source": source}, torch.float16 if half else torch.float32)
    config = network.config
    classes = f", {config.c_dim} classes" if config.c_dim else ""
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"{target}: {config.resolution} px{classes}, from a {found.format}; sha256 {sha256}")
    for line in found.assumed:
        console.print(f"assumed: {line}")
    if found.dropped:
        console.print(f"left behind: {', '.join(found.dropped)}")
