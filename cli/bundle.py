"""`sgi-engine bundle`: rebuild all files of the bundle, from rooms to the model card."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Annotated, Any

import typer

from sgi.cli.options import Device, Quiet
from sgi.cli.terminal import new_console
from sgi.engine import bundle as paths
from sgi.engine import intrinsics
from sgi.engine.errors import refuse_ignored
from sgi.engine.files import check_writable
from sgi.engine.progress import SILENT, Progress

PRESET = "rooms-64"
# Type -> steps and pictures. Depth, normals and shading improve for longest.
FITS = {
    "depth": (3000, 5000), "normal": (3000, 5000), "albedo": (1500, 2000), "shading": (3000, 5000),
    "segmentation": (2500, 2000), "mask-bed": (1000, 2000), "edges": (2500, 2000),
}  # fmt: skip


def bundle(
    workdir: Annotated[Path, typer.Option(help="Folder of all runs, which resume.")],
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")] = paths.FOLDER,
    generator: Annotated[
        Path | None, typer.Option(help="Generator trained by `train-generator`. Default: train it.")
    ] = None,
    teacher: Annotated[Path | None, typer.Option(help="Teacher made by `train-teacher`. Default: train it.")] = None,
    offsets: Annotated[
        Path | None, typer.Option(help="Folder of offsets fitted by `train --type all`. Default: fit them.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help=f"Preset of `train-generator`. Default: {PRESET}.")] = None,
    hours: Annotated[float | None, typer.Option(help="Budget of the generator's training in hours.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Device = "cpu",
    quiet: Quiet = False,
) -> None:
    """Train generator and teacher on rooms, fit every offset, export, and write manifest and model card."""
    from sgi.cli.progress import progress

    with progress(quiet) as shown:
        quality = rebuild_bundle(
            workdir, out, generator=generator, teacher=teacher, offsets=offsets, preset=preset, hours=hours,
            threads=threads, device=device, progress=shown,
        )  # fmt: skip
    console = new_console()
    console.print(quality)
    console.print(f"wrote {out}; see {out / 'CARD.md'}")


def rebuild_bundle(
    workdir: Path,
    out: Path = paths.FOLDER,
    *,
    generator: Path | None = None,
    teacher: Path | None = None,
    offsets: Path | None = None,
    preset: str | None = None,
    hours: float | None = None,
    threads: int | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Write all files of the bundle to `out`; returns the quality of the generator.

    workdir: folder of all runs, which resume. generator, teacher: files of earlier runs; None trains them. offsets:
    folder of fitted offsets; None fits them. preset, hours: of the generator's training.
    """
    from sgi.engine.bundle.contents import write_card, write_manifest
    from sgi.trainer.gan.generator_run import train_generator
    from sgi.trainer.gan.quality import save_with_quality
    from sgi.trainer.gan.train_config import find_preset
    from sgi.trainer.teacher_training.teacher_run import train_teacher
    from sgi.trainer.teachers.unet_teacher import load_unet_teacher

    if generator is not None:
        refuse_ignored({"hours": hours}, "with `generator`, which is trained already; leave it out")
        if teacher is not None:
            refuse_ignored(
                {"preset": preset}, "with `generator` and `teacher`, which are trained already; leave it out"
            )
    preset = preset or PRESET
    machine: dict[str, Any] = {"threads": threads, "device": device}
    check_writable(out, folder=True, make=True)
    check_writable(workdir, "workdir", folder=True, make=True)
    fitted = out / paths.OFFSETS.name
    fitted.mkdir(parents=True, exist_ok=True)
    teacher_file, network_file = out / paths.TEACHER.name, out / paths.GENERATOR.name
    if teacher is None:
        size = find_preset(preset).resolution
        train_teacher(teacher_file, workdir / "teacher", workdir / "rooms", size=size, progress=progress, **machine)
    elif teacher.resolve() != teacher_file.resolve():
        copyfile(teacher, teacher_file)
    if generator is None:
        run = workdir / "generator"
        generator = train_generator(run, preset, hours=hours, teacher=teacher_file, progress=progress, **machine).file
    progress.message("measuring the generator against held-out renders")
    features = load_unet_teacher(teacher_file, device)
    quality = save_with_quality(generator, network_file, features, workdir / "held-out", device, progress)
    files = {name: fitted / f"{name}.safetensors" for name in FITS}
    for name, file in files.items():
        if offsets is None:
            _fit(name, network_file, f"{teacher_file}+analytic:sobel", file, workdir / "fits", machine, progress)
        else:
            copyfile(offsets / file.name, file)
    exported = [files[name] for name in intrinsics.MAP_TYPES if name in files]
    _export(network_file, exported, out / paths.MODEL.name, progress)
    write_manifest(out)
    write_card(out)
    return quality


def _fit(
    name: str, generator: Path, teacher: str, out: Path, workdir: Path, machine: dict[str, Any], progress: Progress
) -> None:
    from sgi.trainer.offsets.train import train_offsets

    steps, images = FITS[name]
    train_offsets(
        [name], generator=generator, teacher=teacher, steps=steps, images=images, noise_mode="none", out=out,
        workdir=workdir, preview=False, progress=progress, **machine,
    )  # fmt: skip


def _export(generator: Path, offsets: list[Path], out: Path, progress: Progress) -> None:
    from sgi.export import export_model

    export_model(types=["all"], generator=generator, offsets=offsets, out=out, noise_mode="none", progress=progress)
