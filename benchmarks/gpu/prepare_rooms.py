"""Render the rooms of a preset in CPU processes, and compile its training once, beside other work on the machine.

    python benchmarks/gpu/prepare_rooms.py WORKDIR PRESET WORKERS DEVICE

`train_rooms.sh prepare` calls it. A stopped rendering continues at its next call, and `train_rooms.sh train` uses the
rooms that exist. The compilation is two steps of training on the first rooms; torch keeps its result on disk.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from sgi.engine.progress import SILENT
from sgi.trainer.gan.generator_run import HELD_OUT, ROOM_SEED, ROOMS, train_generator
from sgi.trainer.gan.quality import held_out_rooms
from sgi.trainer.gan.train_config import find_preset
from sgi.trainer.scenes import dataset
from sgi.trainer.scenes.variety import get_variety


def render_rooms(workdir: Path, preset: str, workers: int) -> None:
    """Render the held-out rooms, then the rooms to train on."""
    config = find_preset(preset)
    held_out_rooms(workdir / "generator" / HELD_OUT, config.resolution, config.variety, "cpu", SILENT, workers)
    variety = get_variety(config.variety)
    dataset.load_or_render(
        workdir / ROOMS, config.scenes, config.resolution, ROOM_SEED, variety=variety, workers=workers
    )


def compile_training(workdir: Path, preset: str, device: str) -> None:
    """Two steps of training, of which the first computes the R1 penalty, on rooms of a set of their own."""
    config = find_preset(preset)
    config = dataclasses.replace(config, scenes=config.batch, total_kimg=2 * config.batch / 1000)
    train_generator(workdir / "compilation", config, teacher=None, device=device, resume=False)


if __name__ == "__main__":
    folder, name, processes, torch_device = sys.argv[1:]
    if torch_device == "cuda":
        compile_training(Path(folder), name, torch_device)
    render_rooms(Path(folder), name, int(processes))
