"""`sgi-engine train`: fit offsets, say how good they are, write their files."""

from __future__ import annotations

import math
from functools import partial
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
    Precision,
    Threads,
    Trunc,
    TypeFiles,
)
from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import MAP_TYPES, Intrinsic

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ALL = "all"
_KNOWN = ", ".join([*(name for name in intrinsics.INTRINSICS if name != intrinsics.IMAGE), "mask-CLASS", ALL])
SUFFIX = ".safetensors"
WORKDIR = "fits"
TEACHER_HELP = (
    "`bundled`, a teacher file, analytic:NAME (sobel, canny, luminance, retinex), onnx:FILE.yaml, or transformers: "
    "or diffusers: with a Hugging Face name or folder; A+B: B tells what A cannot."
)


def train(
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help=f"Map to fit an offset for; repeat it, or `all` for {', '.join(MAP_TYPES)}."),
    ] = None,
    type_files: TypeFiles = None,
    generator: GeneratorFile = None,
    teacher: Annotated[str, typer.Option(help=TEACHER_HELP)] = "bundled",
    space: Annotated[
        str,
        typer.Option(
            help="w (one row for all layers), w+ (a row for each), style (shifts of styles) or lora (low rank)."
        ),
    ] = "w+",
    rank: Annotated[int | None, typer.Option(min=1, help="Rank of the updates of lora. Default: 4.")] = None,
    from_layer: Annotated[
        int, typer.Option(min=0, help="First row of w+ to move; types then share the layers before it in one export.")
    ] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps; fewer than 300 look like a failure.")] = 1000,
    lr: Annotated[
        float | None,
        typer.Option(help="Learning rate, in units of what a fit moves: styles, or w for w. Default: the space's."),
    ] = None,
    batch: Batch = 16,
    images: Annotated[int, typer.Option(min=1, help="Pictures to fit on, in several passes.")] = 2000,
    trunc: Trunc = 1.0,
    cutoff: Cutoff = None,
    noise_mode: NoiseMode = None,
    class_index: ClassIndex = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="l1, l2, huber, cosine, ssi, bce, dice, ce, perceptual, lpips, or a sum. Default: the type's."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which pictures to fit on, and their order.")] = 0,
    holdout: Holdout = 256,
    split: Annotated[
        str, typer.Option(help="Score on `holdout` seeds, or on those for `choosing` settings.")
    ] = "holdout",
    out: Annotated[
        Path | None, typer.Option(help="Offset file to write, or a folder. Default: TYPE.safetensors.")
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Folder of checkpoints and logs. Default: fits, beside the offsets.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder that keeps what the teacher told, so that a slow one is asked once.")
    ] = None,
    device: Device = "cpu",
    threads: Threads = None,
    precision: Precision = None,
    resume: Annotated[bool, typer.Option(help="Continue an interrupted fit of the same settings.")] = True,
    preview: Annotated[bool, typer.Option(help="Write a picture beside each offset.")] = True,
) -> None:
    """Fit the offset that turns the generator's pictures into maps, and score it on held-out seeds."""
    kinds = chosen_kinds(types, type_files or [])
    names = list(kinds)
    paths = output_paths(names, out)

    from rich.console import Console

    from sgi.engine.generator import checkpoints
    from sgi.trainer.device import find_device, native_precision
    from sgi.trainer.losses import get_loss
    from sgi.trainer.offsets.fit import FitSettings
    from sgi.trainer.offsets.job import make_pools, open_journal, train_offset
    from sgi.trainer.offsets.pool import Sampling
    from sgi.trainer.offsets.score_report import score_table, verdict, write_preview
    from sgi.trainer.offsets.spaces import check_row
    from sgi.trainer.teachers import load_teacher
    from sgi.trainer.teachers.classes import target_type

    where = find_device(device, threads)
    settings = FitSettings(space, loss, steps, lr, batch, seed, precision or native_precision(where), rank, from_layer)
    sampling = Sampling(trunc, cutoff, noise_mode or ("const" if generator else "none"), class_index)
    network = checkpoints.load(generator or bundle.GENERATOR, where)
    check_row(network.config, from_layer)
    told_by = load_teacher(teacher, device)
    kinds = {name: target_type(told_by, kind) for name, kind in kinds.items()}
    for kind in kinds.values():
        get_loss(loss, kind)
    console = Console()
    with progress_bar() as bar:
        task = bar.add_task("pictures", total=images + holdout, note="")
        advance = partial(bar.advance, task)
        pools = make_pools(network, told_by, names, sampling, images, holdout, seed, split, advance, cache)
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        journal = open_journal(workdir or path.parent / WORKDIR, network, told_by, kinds[name], pools.fitting, settings)
        if not resume:
            journal.forget()
        with progress_bar() as bar:
            task = bar.add_task(name, total=steps, note="")
            offset = train_offset(network, told_by, kinds[name], pools, settings, journal, partial(_tell, bar, task))
        offset.save(path)
        journal.finish()
        console.print(score_table(offset, offset.score))
        console.print(verdict(offset.score))
        written = [path]
        if preview:
            written.append(path.with_suffix(".png"))
            write_preview(written[-1], network, offset, pools.held)
        console.print("wrote", " and ".join(map(str, written)))


def chosen_kinds(types: list[str] | None, type_files: list[Path]) -> dict[str, Intrinsic]:
    """The types to fit by name, in the order asked for; without `types` those of the files.

    Raises UserError when there are none or unknown ones.
    """
    own = own_kinds(type_files)
    chosen: dict[str, Intrinsic] = {}
    for asked in types or own:
        for name in MAP_TYPES if asked == ALL else (asked,):
            row = own.get(name) or intrinsics.find(name)
            if row is None or name == intrinsics.IMAGE:
                raise UserError(f"--type {name}: choose from {_KNOWN}, or describe it with --type-file")
            chosen[name] = row
    if not chosen:
        raise UserError(f"--type is missing: choose from {_KNOWN}")
    return chosen


def own_kinds(type_files: list[Path]) -> dict[str, Intrinsic]:
    """The types that files describe, by name; raises UserError for two of one name."""
    own: dict[str, Intrinsic] = {}
    for path in type_files:
        from sgi.trainer.offsets.type_file import load_type

        kind = load_type(path)
        if kind.name in own:
            raise UserError(f"--type-file {path}: a second description of {kind.name}; give one a type")
        own[kind.name] = kind
    return own


def output_paths(names: list[str], out: Path | None) -> dict[str, Path]:
    """Where the offset of each type goes; raises UserError when one file is to hold several."""
    if out is None or out.suffix != SUFFIX:
        if out is not None and out.is_file():
            raise UserError(f"--out {out}: the name of an offset file ends in {SUFFIX}")
        return {name: (out or Path()) / f"{name}{SUFFIX}" for name in names}
    if len(names) > 1:
        raise UserError(f"--out {out}: {len(names)} types need a folder; drop {SUFFIX} from the name")
    return {names[0]: out}


def progress_bar() -> Progress:
    """A bar with the time that is left and room for a note, gone when it is done."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"), transient=True,
    )  # fmt: skip


def _tell(bar: Progress, task: TaskID, done: int, loss: float) -> None:
    bar.update(task, completed=done, note="" if math.isnan(loss) else f"loss {loss:.4f}")
