"""Inversion of a user's pictures: their latents, and the maps of offsets at these latents.

This goes beyond the paper, which is about generated pictures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import generator_sha256
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.pictures import read_picture
from sgi.engine.progress import SILENT, Progress
from sgi.engine.writers import get_format
from sgi.engine.writers.display import to_rgb
from sgi.engine.writers.png import encode_png
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.device import find_device
from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.studies.study_inputs import open_offsets, study_precision
from sgi.trainer.studies.truth.latent_search import Inversion, SearchSettings, find_latents
from sgi.trainer.studies.truth.latents_file import Latents

PREVIEW = "inverted.png"
FAITHFUL = 20.0
"""Least PSNR in decibels of a faithful inversion; below it, inverted pictures of rooms show a different room."""


@dataclass(frozen=True, kw_only=True)
class InversionSettings:
    """Settings of an inversion of pictures.

    pictures: PNG or JPEG files; the middle square of each is inverted. generator: file; None is the bundled one.
    offsets: files of the maps to compute; () is the bundled ones for the bundled generator, and none for others. steps,
    prior, rows: of the search, see `SearchSettings`. noise_mode, class_index: only without offsets, whose files contain
    both; noise_mode None is const. device: cpu or cuda. backend: torch, triton or auto, see `choose_backend`. threads:
    number of CPU threads; None does not change it. precision: fp32 or bf16; None is `preferred_precision`. Raises
    UserError for two pictures of one name, whose output files would overwrite each other.
    """

    pictures: tuple[Path, ...]
    generator: Path | None = None
    offsets: tuple[Path, ...] = ()
    steps: int = 200
    prior: float = 0.03
    rows: float = 0.3
    noise_mode: str | None = None
    class_index: int | None = None
    device: str = "cpu"
    backend: str = AUTO
    threads: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        stems = [path.stem for path in self.pictures]
        for stem in stems:
            if stems.count(stem) > 1:
                raise UserError(f"{stem}: two pictures of one name would overwrite each other's maps; rename one")


@dataclass(frozen=True)
class InversionReport:
    """Inverted pictures and their maps.

    pictures: the files, N of them. target: [N, C, R, R] float32 in [0, 1], their middle squares. inversion: latents,
    G(w) and PSNR. maps: {type: codes [N, C, R, R] float32 in [0, 1]}. types: descriptions of these types.
    generator_sha256, noise_mode, search: written to the latents' files.
    """

    pictures: tuple[Path, ...]
    target: Tensor
    inversion: Inversion
    maps: dict[str, np.ndarray]
    types: dict[str, Intrinsic]
    generator_sha256: str
    noise_mode: str
    search: SearchSettings

    def is_faithful(self, index: int) -> bool:
        """Whether the generator reproduces a picture well enough for its maps to be maps of that picture."""
        return self.inversion.psnr[index].item() >= FAITHFUL

    def run_command(self, folder: Path, settings: InversionSettings) -> list[str]:
        """The words of the command that computes maps of the latents in `folder`, to `folder/run`."""
        words = ["sgi-engine", "run", "--latents", *(str(latents_path(folder, path)) for path in self.pictures)]
        if settings.generator or settings.offsets:
            words += ["--generator", str(settings.generator or "bundled")]
            words += [word for path in settings.offsets for word in ("--offset", str(path))]
        if settings.offsets:  # without --type a run writes their maps only, and not the picture
            words += ["--type", ",".join((intrinsics.IMAGE, *self.maps))]
        if settings.noise_mode:
            words += ["--noise-mode", settings.noise_mode]
        return [*words, "--outdir", str(folder / "run")]

    def to_dict(self) -> dict[str, Any]:
        """{picture's file name: {"psnr": decibels, "faithful": see `is_faithful`}}, JSON-ready."""
        return {
            path.name: {"psnr": self.inversion.psnr[index].item(), "faithful": self.is_faithful(index)}
            for index, path in enumerate(self.pictures)
        }

    def write(self, folder: Path, file_format: str = "png") -> Path:
        """Write latents, pictures, maps and a preview; returns the preview's path. file_format: of maps, png or npy."""
        form = get_format(file_format)
        folder.mkdir(parents=True, exist_ok=True)
        sheet = {}
        for index, path in enumerate(self.pictures):
            psnr = self.inversion.psnr[index].item()
            latents = Latents(
                self.inversion.ws[index], self.generator_sha256, self.noise_mode, psnr, path.name, asdict(self.search)
            )
            latents.save(latents_path(folder, path))
            with atomic_write(folder / f"{path.stem}_picture.png") as temporary:
                temporary.write_bytes(encode_png(to_rgb(self.target[index].numpy())))
            codes = {intrinsics.IMAGE: self.inversion.images[index].numpy()}
            codes |= {name: maps[index] for name, maps in self.maps.items()}
            for name, code in codes.items():
                kind = self.types[name] if name in self.types else intrinsics.image_of(len(code))
                with atomic_write(folder / f"{path.stem}_{name}{form.suffix}") as temporary:
                    temporary.write_bytes(form.encode(kind, intrinsics.decode(kind, code)))
            columns = {"G(w)" if name == intrinsics.IMAGE else name: code for name, code in codes.items()}
            sheet[path.stem] = {"picture": self.target[index].numpy()} | columns
        with atomic_write(folder / PREVIEW) as temporary:
            temporary.write_bytes(draw_sheet(sheet, self.types))
        return folder / PREVIEW


def latents_path(folder: Path, picture: Path) -> Path:
    """Path of the latents of a picture in the folder of an inversion."""
    return folder / f"{picture.stem}_ws.safetensors"


def invert(settings: InversionSettings, progress: Progress = SILENT) -> InversionReport:
    """Find the latents of pictures and compute the maps of offsets at these latents.

    Raises UserError for files that cannot be read, offsets of another generator, and noise_mode or class_index together
    with offsets.

        from pathlib import Path
        from sgi.trainer.studies.truth import InversionSettings, invert

        report = invert(InversionSettings(pictures=(Path("photo.png"),)))
        report.write(Path("inverted"))
    """
    device = find_device(settings.device, settings.threads)
    search = SearchSettings(
        steps=settings.steps, prior=settings.prior, rows=settings.rows,
        precision=study_precision(settings.precision, device),
    )  # fmt: skip
    generator = open_generator(settings.generator, device, settings.backend)
    offsets = open_offsets(settings.offsets, settings.generator, generator)
    if offsets and (settings.noise_mode, settings.class_index) != (None, None):
        raise UserError("`noise_mode` and `class_index`: the offsets' files fix both; leave them out")
    if offsets:
        sampling = common_sampling(offsets)
    else:
        sampling = Sampling(1.0, None, settings.noise_mode or "const", settings.class_index)
    sampling.check(generator)
    config = generator.config
    target = torch.stack(
        [torch.from_numpy(read_picture(path, config.img_channels, config.resolution)) for path in settings.pictures]
    )
    inversion = find_latents(generator, target, sampling, search, progress)
    return InversionReport(
        pictures=settings.pictures,
        target=target,
        inversion=inversion,
        maps={offset.type: apply_offset(generator, inversion.ws, offset).numpy() for offset in offsets},
        types={offset.type: offset.intrinsic for offset in offsets},
        generator_sha256=generator_sha256(generator),
        noise_mode=sampling.noise_mode,
        search=search,
    )
