"""The `train-generator` command without its flags: rooms, device, threads, and a progress bar around the loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.trainer.device import find_device
from sgi.trainer.gan.loop import train
from sgi.trainer.gan.quality import held_out_rooms, quality
from sgi.trainer.gan.start import load_start
from sgi.trainer.gan.step import Training
from sgi.trainer.gan.train_config import TrainConfig, preset
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.teachers.unet_teacher import load_unet_teacher

# Scenes of every training run; scores are taken on scenes of other seeds.
SCENE_SEED = 0


def configure(name: str, kimg: float | None, hours: float | None, scenes: int | None) -> TrainConfig:
    """Return preset `name` with the budget and the number of rooms asked for.

    Either budget replaces the preset's; both together end the run at whichever is spent first.
    """
    for flag, value in (("--kimg", kimg), ("--hours", hours), ("--count", scenes)):
        if value is not None and value <= 0:
            raise UserError(f"{flag} {value}: give a number above 0")
    config = preset(name)
    if kimg is not None or hours is not None:
        config = dataclasses.replace(config, total_kimg=kimg, hours=hours)
    return config if scenes is None else dataclasses.replace(config, scenes=scenes)


def run(
    config: TrainConfig,
    workdir: Path,
    data: Path | None,
    device: str,
    threads: int | None,
    resume: bool,
    teacher: Path | None = None,
    generator: Path | None = None,
    discriminator: Path | None = None,
) -> str:
    """Render the rooms that are missing, train, and return one line that says where the run stands.

    data: folder of rendered rooms, shared between runs; None is workdir/rooms. teacher: in whose features the log
    compares the generator with held-out rooms; None leaves that out. generator, discriminator: a run's files to start
    from, both or neither. Raises UserError where they do not fit.
    """
    if (generator is None) != (discriminator is None):
        raise UserError("--generator and --discriminator go together: neither is of use without the other")
    start = load_start(config, generator, discriminator) if generator and discriminator else None
    where = find_device(device, threads)
    workdir.mkdir(parents=True, exist_ok=True)
    rooms = load_or_render(
        data or workdir / "rooms",
        config.scenes,
        config.resolution,
        SCENE_SEED,
        device=where,
        variety=get_variety(config.variety),
    )
    columns = (
        TextColumn("{task.fields[kimg]:8.1f} kimg"), BarColumn(), TextColumn("{task.percentage:5.1f} %"),
        TextColumn("{task.fields[rate]:6.1f} img/s"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as bar:
        task = bar.add_task("training", total=1.0, kimg=0.0, rate=0.0)
        began: list[float] = []

        def report(training: Training, seconds: float, progress: float) -> None:
            if not began:
                began.extend((training.kimg, seconds))
            rate = 1000 * (training.kimg - began[0]) / max(seconds - began[1], 1e-9)
            bar.update(task, completed=progress, kimg=training.kimg, rate=rate)

        def measure(generator: Generator) -> dict[str, Any]:
            held_out = held_out_rooms(workdir / "held-out", config.resolution, config.variety, where)
            return quality(generator, load_unet_teacher(str(teacher), str(where)), held_out)

        training = train(config, rooms, workdir, where, resume, report, measure if teacher else None, start)
    return f"{training.kimg:.1f} kimg trained; generator in {workdir / 'ema.safetensors'}"
