"""Train a generator on rendered rooms; the function behind `sgi-engine train-generator`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.files import check_writable
from sgi.engine.generator import Generator
from sgi.engine.progress import SILENT, Progress, Stage
from sgi.trainer.device import find_device
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.quality import distances, held_out_rooms, real_features
from sgi.trainer.gan.start import load_start
from sgi.trainer.gan.step import Training
from sgi.trainer.gan.train_config import TrainConfig, find_preset
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.teachers.unet_teacher import UNetTeacher, load_unet_teacher

# Seed of the rooms of every training run. Scores are measured on rooms of other seeds.
ROOM_SEED = 0
# Folders in the folder of a run.
ROOMS, HELD_OUT = "rooms", "held-out"


@dataclass(frozen=True)
class TrainedGenerator:
    """The state of a run when it ended. file: the averaged generator. kimg: thousands of images trained on."""

    file: Path
    kimg: float


def train_generator(
    workdir: str | Path,
    preset: str | TrainConfig = "rooms-64",
    *,
    kimg: float | None = None,
    hours: float | None = None,
    count: int | None = None,
    data: str | Path | None = None,
    teacher: str | Path | None = bundle.TEACHER,
    generator: str | Path | None = None,
    discriminator: str | Path | None = None,
    device: str = "cpu",
    threads: int | None = None,
    resume: bool = True,
    workers: int = 0,
    progress: Progress = SILENT,
) -> TrainedGenerator:
    """Train a StyleGAN2 on procedural rooms until its budget is spent, or until SIGINT or SIGTERM.

    workdir: folder of the run (checkpoint, samples, log, averaged generator, discriminator).
    preset: name of a preset, or a config. kimg, hours: budgets in thousands of images and in hours; they replace those
    of the preset, and the run ends when the first of them is spent. count: rooms to train on; None is the preset's.
    data: folder of rendered rooms, which runs can share; None is the folder `rooms` in `workdir`. Missing rooms are
    rendered. teacher: file of the teacher whose features compare the generator with held-out rooms in the log, or None.
    generator, discriminator: files of another run to start from, both or neither.
    resume: continue from the checkpoint in `workdir`, if there is one. workers: CPU processes that render missing
    rooms; 0 renders them on `device`.
    Raises UserError for invalid values, and for files that do not match the preset.
    """
    config = configure(preset, kimg=kimg, hours=hours, count=count)
    if (generator is None) != (discriminator is None):
        raise UserError("pass both `generator` and `discriminator`, or neither: a run starts from both")
    start = load_start(config, generator, discriminator) if generator and discriminator else None
    torch_device = find_device(device, threads)
    folder = Path(workdir)
    check_writable(folder, "workdir", folder=True, make=True)
    folder.mkdir(parents=True, exist_ok=True)
    rooms = load_or_render(
        data or folder / ROOMS,
        config.scenes,
        config.resolution,
        ROOM_SEED,
        device=torch_device,
        variety=get_variety(config.variety),
        progress=progress,
        workers=workers,
    )

    @lru_cache(maxsize=1)
    def held_out_features() -> tuple[UNetTeacher, tuple[np.ndarray, np.ndarray]]:
        held_out = held_out_rooms(
            folder / HELD_OUT, config.resolution, config.variety, torch_device, progress, workers=workers
        )
        network = load_unet_teacher(str(teacher), str(torch_device))
        return network, real_features(network, held_out)

    def measure(network: Generator) -> dict[str, Any]:
        return distances(network, *held_out_features())

    with _reports(progress) as report:
        training = train(config, rooms, folder, torch_device, resume, report, measure if teacher else None, start)
    return TrainedGenerator(folder / "ema.safetensors", training.kimg)


def configure(
    preset: str | TrainConfig, *, kimg: float | None = None, hours: float | None = None, count: int | None = None
) -> TrainConfig:
    """The config of `preset` with the given budgets and number of rooms; see `train_generator`.

    Raises UserError for an unknown preset and for values that are not positive.
    """
    for name, value in (("kimg", kimg), ("hours", hours), ("count", count)):
        if value is not None and value <= 0:
            raise UserError(f"`{name}={value}`: must be above 0")
    config = find_preset(preset) if isinstance(preset, str) else preset
    if kimg is not None or hours is not None:
        config = dataclasses.replace(config, total_kimg=kimg, hours=hours)
    return config if count is None else dataclasses.replace(config, scenes=count)


@contextmanager
def _reports(progress: Progress) -> Iterator[Callable[[Training, float, float], None]]:
    """A `report` for `train` that shows the spent part of the budget, in percent, as a stage of `progress`."""
    with ExitStack() as stack:
        stage: Stage | None = None
        first_kimg = first_seconds = 0.0
        percent = 0

        def report(training: Training, seconds: float, spent: float) -> None:
            nonlocal stage, first_kimg, first_seconds, percent
            if stage is None:
                first_kimg, first_seconds, percent = training.kimg, seconds, int(100 * spent)
                stage = stack.enter_context(progress.stage("generator", 100 - percent, "% of the budget"))
            rate = 1000 * (training.kimg - first_kimg) / max(seconds - first_seconds, 1e-9)
            now = int(100 * spent)
            stage.advance(now - percent, f"{training.kimg:.1f} kimg, {rate:.1f} images/s")
            percent = now

        yield report
