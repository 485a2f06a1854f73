"""`sgi-engine train`: fit offsets, print their scores, write their files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sgi.cli.options import (
    Batch,
    ClassIndex,
    Cutoff,
    Device,
    GeneratorFile,
    Holdout,
    NoiseMode,
    PictureBackend,
    Precision,
    Quiet,
    Resume,
    Seed,
    Split,
    Teacher,
    TeacherCache,
    Threads,
    Trunc,
    TypeFiles,
    types_option,
)
from sgi.cli.progress import progress
from sgi.cli.terminal import new_console
from sgi.engine.intrinsics import MAP_TYPES

if TYPE_CHECKING:
    from sgi.trainer.offsets.train import TrainedOffset


def train(
    types: Annotated[
        list[str] | None,
        types_option(f"Maps to fit offsets for, such as depth,normal, or `all` for {', '.join(MAP_TYPES)}."),
    ] = None,
    type_files: TypeFiles = None,
    generator: GeneratorFile = None,
    teacher: Teacher = "bundled",
    space: Annotated[
        str,
        typer.Option(
            help="w (one row for all layers), w+ (a row for each), style (shifts of styles) or lora (low rank)."
        ),
    ] = "w+",
    rank: Annotated[int | None, typer.Option(min=1, help="Rank of the updates of lora. Default: 4.")] = None,
    from_layer: Annotated[
        int,
        typer.Option(min=0, help="First row of w+ to change; types share the layers before it in one exported model."),
    ] = 0,
    steps: Annotated[
        int, typer.Option(min=1, help="Optimiser steps; with fewer than 300 the map has not yet appeared.")
    ] = 1000,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate, in units of the styles or, in space w, of w. Default: the space's."),
    ] = None,
    batch: Batch = 16,
    images: Annotated[int, typer.Option(min=1, help="Pictures to fit on, in several passes.")] = 2000,
    psi: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="l1, l2, huber, cosine, ssi, bce, dice, ce, perceptual, lpips, or a sum. Default: the type's."
        ),
    ] = None,
    seed: Seed = 0,
    holdout: Holdout = 256,
    split: Split = "holdout",
    out: Annotated[
        Path | None, typer.Option(help="Offset file to write, or a folder. Default: TYPE.safetensors.")
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints and logs. Default: fits, beside the offsets.")
    ] = None,
    cache: TeacherCache = None,
    device: Device = "cpu",
    backend: PictureBackend = "auto",
    threads: Threads = None,
    precision: Precision = None,
    resume: Resume = True,
    preview: Annotated[bool, typer.Option(help="Write a picture beside each offset.")] = True,
    quiet: Quiet = False,
) -> None:
    """Fit the offset that turns the generator's pictures into maps, and score it on held-out seeds."""
    from sgi.trainer.offsets.train import train_offsets

    with progress(quiet) as shown:
        train_offsets(
            types, type_files=type_files or (), generator=generator, teacher=teacher, space=space, rank=rank,
            from_layer=from_layer, steps=steps, lr=lr, batch=batch, images=images, psi=psi, cutoff=cutoff,
            noise_mode=noise_mode, class_index=class_index, loss=loss, seed=seed, holdout=holdout, split=split, out=out,
            workdir=workdir, cache=cache, device=device, backend=backend, threads=threads, precision=precision,
            resume=resume, preview=preview, progress=shown, on_trained=_report,
        )  # fmt: skip


def _report(trained: TrainedOffset) -> None:
    from sgi.trainer.offsets.score_report import compare_to_baseline, score_table

    console = new_console()
    console.print(score_table(trained.offset, trained.offset.score))
    console.print(compare_to_baseline(trained.offset.score))
    where = ", ".join((trained.backend, trained.offset.fit["device"], trained.offset.fit["precision"]))
    console.print("wrote", " and ".join(str(path) for path in (trained.path, trained.preview) if path), f"({where})")
