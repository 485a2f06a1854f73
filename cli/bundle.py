"""`sgi-engine bundle`: rebuild everything the package ships, from rooms to the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device
from sgi.engine import bundle as paths
from sgi.engine import intrinsics
from sgi.engine.errors import UserError

# Type -> steps and pictures. Depth, normals and shading go on improving for longest.
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
    preset: Annotated[str, typer.Option(help="Preset of `train-generator`.")] = "rooms-64",
    hours: Annotated[float | None, typer.Option(help="Budget of the generator's training.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Device = "cpu",
) -> None:
    """Train generator and teacher on rooms, fit every offset, export, and write manifest and model card."""
    import shutil

    import torch
    from rich.console import Console

    from sgi.cli.export import export
    from sgi.cli.train import train
    from sgi.cli.train_generator import train_generator
    from sgi.cli.train_teacher import train_teacher
    from sgi.engine.bundle.contents import write_card, write_manifest
    from sgi.engine.generator import load_generator, save_generator
    from sgi.engine.generator.file import read_header
    from sgi.trainer.gan.config import preset as find_preset
    from sgi.trainer.gan.quality import held_out_rooms, quality
    from sgi.trainer.teachers.unet_teacher import load_unet_teacher

    console = Console()
    fitted = out / paths.OFFSETS.name
    fitted.mkdir(parents=True, exist_ok=True)
    target = out / paths.TEACHER.name
    if teacher is None:
        size = find_preset(preset).resolution
        train_teacher(target, workdir / "teacher", workdir / "rooms", size=size, threads=threads, device=device)
    elif teacher.resolve() != target.resolve():
        shutil.copyfile(teacher, target)
    if generator is None:
        train_generator(workdir / "generator", preset, hours=hours, threads=threads, device=device, teacher=target)
        generator = workdir / "generator" / "ema.safetensors"

    console.print("measuring the generator against held-out renders")
    notes = read_header(generator)["notes"]
    if "kimg" not in notes:
        raise UserError(f"--generator {generator}: not made by `sgi-engine train-generator`")
    network_file = out / paths.GENERATOR.name
    save_generator(network_file, load_generator(generator), notes, torch.float16)
    network = load_generator(network_file, device)
    resolution, variety = network.config.resolution, notes["training"]["variety"]
    real = held_out_rooms(workdir / "held-out", resolution, variety, device)
    notes["quality"] = quality(network, load_unet_teacher(target, device), real)
    notes["licence"] = "Apache-2.0"
    save_generator(network_file, network, notes, torch.float16)
    console.print(notes["quality"])

    if offsets is None:
        for name, (steps, images) in FITS.items():
            train(
                [name], generator=network_file, teacher=f"{target}+analytic:sobel", steps=steps, images=images,
                noise_mode="none", out=fitted, workdir=workdir / "fits", device=device, threads=threads, preview=False,
            )  # fmt: skip
    else:
        for name in FITS:
            shutil.copyfile(offsets / f"{name}.safetensors", fitted / f"{name}.safetensors")
    files = [fitted / f"{name}.safetensors" for name in intrinsics.MAP_TYPES]
    export(["all"], generator=network_file, offsets=files, out=out / paths.MODEL.name, noise_mode="none")
    write_manifest(out)
    write_card(out)
    console.print(f"wrote {out}; see {out / 'CARD.md'}")
