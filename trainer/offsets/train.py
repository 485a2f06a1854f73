"""Fit offsets and write their files; the function behind `sgi-engine train`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sgi.engine import intrinsics
from sgi.engine.errors import UserError, warn_cutoff
from sgi.engine.files import check_writable
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device, preferred_precision
from sgi.trainer.losses import get_loss
from sgi.trainer.offsets.chosen_types import chosen_types
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.fitted_baselines import BaselinesCache
from sgi.trainer.offsets.job import make_pools, open_checkpoint, train_offset
from sgi.trainer.offsets.open_generator import AUTO, backend_of, open_generator
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.score_report import write_preview
from sgi.trainer.offsets.spaces import check_row
from sgi.trainer.offsets.type_file import load_types
from sgi.trainer.teachers.classes import target_type

SUFFIX = ".safetensors"
WORKDIR = "fits"
_FILE_SUFFIX = re.compile(r"\.[A-Za-z]\w*")


@dataclass(frozen=True)
class TrainedOffset:
    """One fitted offset.

    offset: with its held-out score. path: its file. preview: its picture, if one was written. backend: what computed
    the generator's pictures, torch or triton.
    """

    offset: Offset
    path: Path
    preview: Path | None
    backend: str


def train_offsets(
    types: str | Sequence[str] | None = None,
    *,
    type_files: Sequence[str | Path] = (),
    generator: str | Path | None = None,
    teacher: str = "bundled",
    space: str = "w+",
    rank: int | None = None,
    from_layer: int = 0,
    steps: int = 1000,
    lr: float | None = None,
    batch: int = 16,
    images: int = 2000,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    class_index: int | None = None,
    loss: str | None = None,
    seed: int = 0,
    holdout: int = 256,
    split: str = "holdout",
    out: str | Path | None = None,
    workdir: str | Path | None = None,
    cache: str | Path | None = None,
    device: str = "cpu",
    backend: str = AUTO,
    threads: int | None = None,
    precision: str | None = None,
    resume: bool = True,
    preview: bool = True,
    progress: Progress = SILENT,
    on_trained: Callable[[TrainedOffset], None] | None = None,
) -> list[TrainedOffset]:
    """Fit the offsets of map types, score them on held-out seeds and write their files; returns one report per type.

    types: names, or `all` for depth, normal, albedo and shading; None for all types of `type_files`. type_files: YAML
    descriptions of other types. generator: a checkpoint, None for the bundled one. teacher: a spec, see
    sgi.trainer.teachers. space, rank, from_layer, steps, lr, batch, loss, precision: see `FitSettings`; precision None
    becomes bf16 where the hardware supports it. backend: what computes the generator's pictures, torch, triton (the
    kernels, on a GPU) or auto, see `choose_backend`. images: number of pictures to fit on. seed: which pictures, and
    their order. psi, cutoff, noise_mode, class_index: see `Sampling`; noise_mode None becomes none for the bundled
    generator and const for others. holdout, split: number and split of the seeds to score on, see
    sgi.trainer.offsets.seed_splits. out: an offset file or a folder, None for TYPE.safetensors in the current one.
    workdir: folder of checkpoints and logs, None for `fits` beside the offsets. cache: folder that keeps the teacher's
    targets and the fitted baselines, as of `score_offsets`. resume: whether to continue an interrupted fit of the same
    settings. preview: whether to write a picture beside each offset. on_trained: called with each report once its files
    are written.

    Raises UserError, naming the parameter, before any picture is rendered where that is possible.

    >>> from sgi.trainer.offsets.train import train_offsets
    >>> [depth] = train_offsets(["depth"], steps=2, images=16, holdout=8, out="/tmp/offsets/depth.safetensors")
    >>> depth.offset.type, depth.path.name, depth.preview.name
    ('depth', 'depth.safetensors', 'depth.png')
    >>> sorted(depth.offset.score["rows"])
    ['constant', 'global_affine', 'identity', 'offset', 'pixel_affine', 'random', 'ridge']
    """
    own = load_types(type_files)
    kinds = chosen_types(types, own)
    paths = output_paths(list(kinds), out)
    for path in paths.values():
        check_writable(path, make=True)
    for parameter, place in (("workdir", workdir), ("cache", cache)):
        if place is not None:
            check_writable(place, parameter, folder=True, make=True)
    warn_cutoff(psi, cutoff)
    torch_device = find_device(device, threads)
    precision = precision or preferred_precision(torch_device)
    settings = FitSettings(space, loss, steps, lr, batch, seed, precision, rank, from_layer)
    sampling = Sampling(psi, cutoff, noise_mode or ("const" if generator else "none"), class_index)
    network = open_generator(generator, torch_device, backend)
    sampling.check(network)
    check_row(network.config, from_layer)
    loaded = teachers.load_teacher(teacher, device)
    kinds = {name: target_type(loaded, kind) for name, kind in kinds.items()}
    for kind in kinds.values():
        intrinsics.check_channels(kind, network.config.img_channels)
        get_loss(loss, kind)
    if generator is not None and teacher == "bundled":
        progress.message("the bundled teacher is trained on rooms; for pictures of other things choose another teacher")
    pools = make_pools(network, loaded, list(kinds), sampling, images, holdout, seed, split, cache, progress)
    reports, store = [], BaselinesCache(cache)
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = workdir or path.parent / WORKDIR
        checkpoint = open_checkpoint(folder, network, loaded, kinds[name], pools.fitting, settings)
        if not resume:
            checkpoint.reset()
        offset = train_offset(network, loaded, kinds[name], pools, settings, checkpoint, progress, store)
        offset.save(path)
        checkpoint.finish()
        picture = path.with_suffix(".png") if preview else None
        if picture:
            write_preview(picture, network, offset, pools.held)
        reports.append(TrainedOffset(offset, path, picture, backend_of(network)))
        if on_trained:
            on_trained(reports[-1])
    return reports


def output_paths(names: Sequence[str], out: str | Path | None) -> dict[str, Path]:
    """Return the file of each type's offset; raises UserError, naming `out`, if one file would contain several."""
    folder = Path() if out is None else Path(out)
    if folder.suffix != SUFFIX:
        if folder.is_file():
            raise UserError(f"`out={out}`: the name of an offset file ends in {SUFFIX}")
        if _FILE_SUFFIX.fullmatch(folder.suffix) and not folder.is_dir():
            raise UserError(
                f"`out={out}`: the name of an offset file ends in {SUFFIX}; make the folder first if you mean one"
            )
        return {name: folder / f"{name}{SUFFIX}" for name in names}
    if len(names) > 1:
        raise UserError(f"`out={out}`: {len(names)} types need a folder; remove {SUFFIX} from the name")
    return {names[0]: folder}
