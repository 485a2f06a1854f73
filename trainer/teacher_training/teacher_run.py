"""From rooms to a teacher file: train, round to the stored precision, measure on held-out rooms, write."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sgi.engine.errors import UserError
from sgi.trainer.scenes import CLASSES
from sgi.trainer.scenes.dataset import load_or_render
from sgi.trainer.scenes.variety import RICH, get_variety
from sgi.trainer.teacher_training.evaluate import Errors, evaluate
from sgi.trainer.teacher_training.fit_unet import FitConfig, Run, fit_unet
from sgi.trainer.teacher_training.sheet import write_sheet
from sgi.trainer.teachers.unet import UNetConfig
from sgi.trainer.teachers.unet_teacher import UNetTeacher, rounded, save_unet_teacher

SHEET = "held-out.png"


@dataclass(frozen=True)
class RoomSource:
    """Which rooms to train on and to measure with: seeds and counts of two disjoint sets of one size in pixels."""

    size: int = 64
    count: int = 40960
    seed: int = 0
    held_out_count: int = 512
    held_out_seed: int = 10_007
    variety: str = RICH.name


def make_teacher(
    out: Path,
    workdir: Path,
    data: Path,
    source: RoomSource,
    config: FitConfig,
    name: str = "rooms-unet",
    dtype: torch.dtype = torch.float16,
    device: torch.device | str = "cpu",
) -> dict[str, Errors]:
    """Train a teacher on the rooms in `data`, write it to `out`, and return its errors as `evaluate` does.

    Rooms that are not there yet are rendered. `workdir` holds the run, which resumes, the held-out rooms and
    `held-out.png`, a picture of what the teacher says of them. Raises UserError if both sets have one seed.
    """
    if source.seed == source.held_out_seed:
        raise UserError(f"--data-seed {source.seed}: the held-out rooms have that seed; take another")
    try:
        shape = UNetConfig(CLASSES, resolution=source.size)
    except ValueError as error:
        raise UserError(f"--size {source.size}: {error}") from None
    workdir.mkdir(parents=True, exist_ok=True)
    render = partial(load_or_render, size=source.size, device=device, variety=get_variety(source.variety))
    rooms = render(data, source.count, seed=source.seed)
    held_out = render(workdir / "held-out", source.held_out_count, seed=source.held_out_seed)
    with _progress() as bars:
        task = bars.add_task("teacher", total=config.steps, losses="")

        def report(run: Run) -> None:
            losses = [f"{key} {run.log[-1][key]:.4f}" for key in ("total", "depth", "normal", "albedo") if run.log]
            bars.update(task, completed=run.step, losses=", ".join(losses))

        run = fit_unet(rooms, shape, config, workdir, device, report=report)
    net = rounded(run.net, dtype).to(device)
    teacher = UNetTeacher(net, name)
    errors = evaluate(teacher, held_out, device=device)
    save_unet_teacher(out, net, name, _notes(source, config, run, errors), dtype)
    write_sheet(workdir / SHEET, teacher, held_out)
    return errors


def _notes(source: RoomSource, config: FitConfig, run: Run, errors: dict[str, Errors]) -> dict[str, Any]:
    return {
        "rooms": asdict(source),
        "fit": asdict(config),
        "last_losses": run.log[-1],
        "held_out": {who: {key: round(value, 6) for key, value in column.items()} for who, column in errors.items()},
    }


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
