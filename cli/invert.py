"""`sgi-engine invert`: from a picture of the user's to w+ and maps, as far as a generator can show that picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.options import Device, GeneratorFile, Precision, Threads
from sgi.cli.train import progress_bar
from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError

PREVIEW = "inverted.png"
# Below this, pictures of the bundled rooms show another room than the one asked for.
FAITHFUL = 20.0


def invert(
    pictures: Annotated[list[Path], typer.Argument(help="PNG or JPEG files; the middle square of each is taken.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("inverted"),
    generator: GeneratorFile = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--offset", help="Offset file of a map to show; repeat it. Default: the bundled ones."),
    ] = None,
    steps: Annotated[int, typer.Option(help="Optimiser steps.")] = 200,
    prior: Annotated[float, typer.Option(help="How much a latent pays for being unusual; 0 is free.")] = 0.03,
    rows: Annotated[float, typer.Option(help="How much its rows pay for differing; 0 is plain w+.")] = 0.3,
    noise_mode: Annotated[
        str | None, typer.Option(help="none or const, where no offset says it. Default: const.")
    ] = None,
    class_index: Annotated[
        int | None, typer.Option("--class", help="Class of a conditional generator, where no offset says it.")
    ] = None,
    file_format: Annotated[str, typer.Option("--format", help="png or npy, of the maps.")] = "png",
    device: Device = "cpu",
    threads: Threads = None,
    precision: Precision = None,
) -> None:
    """Find the latents of your own pictures and show their maps. Beyond the paper, which is about generated pictures.

    A generator can only show what it was trained on: the bundled one shows rooms. The PSNR says how well it shows
    each picture; maps of a badly shown one are maps of another picture.
    """
    stems = [path.stem for path in pictures]
    for stem in stems:
        if stems.count(stem) > 1:
            raise UserError(f"{stem}: two pictures of one name would overwrite each other's maps; rename one")

    from dataclasses import asdict

    import torch
    from rich.console import Console

    from sgi.engine.files import atomic_write
    from sgi.engine.generator import checkpoints, generator_sha256
    from sgi.engine.offsets import Offset
    from sgi.engine.writers import get_format
    from sgi.engine.writers.preview import draw_sheet
    from sgi.trainer.device import find_device, preferred_precision
    from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
    from sgi.trainer.offsets.pool import Sampling
    from sgi.trainer.studies.truth.inversion import InversionSettings
    from sgi.trainer.studies.truth.inversion import invert as find_latents
    from sgi.trainer.studies.truth.latents_file import Latents
    from sgi.trainer.studies.truth.pictures import load_picture

    form = get_format(file_format)
    where = find_device(device, threads)
    settings = InversionSettings(steps=steps, prior=prior, rows=rows, precision=precision or preferred_precision(where))
    network = checkpoints.load(generator or bundle.GENERATOR, where)
    sha256 = generator_sha256(network)
    paths = files or ([] if generator else [bundle.offset(name) for name in intrinsics.MAP_TYPES])
    offsets = [Offset.load(path) for path in paths]
    for offset in offsets:
        offset.check_generator(sha256)
    if offsets and (noise_mode, class_index) != (None, None):
        raise UserError("--noise-mode and --class: the offsets say under which they were fitted; drop the flags")
    sampling = common_sampling(offsets) if offsets else Sampling(1.0, None, noise_mode or "const", class_index)
    wanted = torch.stack([load_picture(path, network.config.resolution) for path in pictures])
    console = Console()
    with progress_bar() as bar:
        task = bar.add_task("inverting", total=len(pictures) * steps, note="")
        found = find_latents(network, wanted, sampling, settings, partial(bar.advance, task))
    out.mkdir(parents=True, exist_ok=True)
    maps = {offset.type: apply_offset(network, found.ws, offset).numpy() for offset in offsets}
    kinds = {offset.type: offset.intrinsic for offset in offsets}
    sheet = {}
    for index, (path, stem) in enumerate(zip(pictures, stems, strict=True)):
        decibels = found.psnr[index].item()
        latents = Latents(found.ws[index], sha256, sampling.noise_mode, decibels, path.name, asdict(settings))
        latents.save(out / f"{stem}_ws.safetensors")
        codes = {intrinsics.IMAGE: found.images[index].numpy()} | {name: m[index] for name, m in maps.items()}
        for name, code in codes.items():
            kind = kinds.get(name) or intrinsics.get(name)
            with atomic_write(out / f"{stem}_{name}{form.suffix}") as temporary:
                temporary.write_bytes(form.encode(kind, intrinsics.decode(kind, code)))
        shown = {"G(w)" if name == intrinsics.IMAGE else name: code for name, code in codes.items()}
        sheet[stem] = {"picture": wanted[index].numpy()} | shown
        poor = "" if decibels >= FAITHFUL else "; the generator shows another picture, and the maps are that one's"
        console.print(f"{path}: PSNR {decibels:.1f} dB{poor}")
    with atomic_write(out / PREVIEW) as temporary:
        temporary.write_bytes(draw_sheet(sheet))
    console.print(
        f"wrote {out}, see {out / PREVIEW}. Inverted pictures are beyond the paper: no teacher saw these maps."
    )
