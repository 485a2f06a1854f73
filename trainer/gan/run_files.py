"""Files of a run: the checkpoint, from which it continues exactly, the averaged generator, samples and the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sgi.engine.budget import parse_json, read_text
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator, save_generator
from sgi.trainer.batches import latents
from sgi.trainer.gan.start import save_discriminator
from sgi.trainer.gan.step import Training
from sgi.trainer.state_file import read_state, restoring

FORMAT = 1
# Settings that may differ in a continued run: the budget, the learning-rate schedule, and compilation.
MAY_CHANGE = {"total_kimg", "hours", "decay", "final_lr", "compile"}
GRID = 8
_LARGEST_LOG = 1 << 28


class RunFiles:
    """The files of a run in its working folder."""

    def __init__(self, folder: Path) -> None:
        self.checkpoint = folder / "checkpoint.pt"
        self.generator = folder / "ema.safetensors"
        self.discriminator = folder / "discriminator.safetensors"
        self.log = folder / "log.jsonl"
        self.samples = folder / "samples"
        self.samples.mkdir(parents=True, exist_ok=True)

    def save(self, training: Training, seconds: float) -> None:
        """Write the checkpoint, the averaged generator and the discriminator, each complete or not at all."""
        state = {
            "format": FORMAT,
            "config": training.config.to_dict(),
            "seconds": seconds,
            "training": training.state_dict(),
        }
        with atomic_write(self.checkpoint) as path:
            torch.save(state, path)
        notes = {"kimg": training.kimg, "seconds": round(seconds), "noise_mode": "none"}
        save_generator(self.generator, training.average, notes | {"training": training.config.to_dict()})
        save_discriminator(self.discriminator, training.discriminator, training.kimg)

    def load(self, training: Training) -> float:
        """Restore `training` from the checkpoint, drop later log records, and return the seconds trained so far.

        Raises UserError when the checkpoint is unreadable or was made with other settings than those of `training`.
        """
        remedy = "remove it or use `resume=False`"
        with restoring(self.checkpoint, remedy):
            state = read_state(self.checkpoint, {}, training.device)
        if state.get("format") != FORMAT:
            raise UserError(
                f"{self.checkpoint}: not a checkpoint of this version; use `resume=False` or another `workdir`"
            )
        with restoring(self.checkpoint, remedy):
            config, stored, seconds = training.config.to_dict(), dict(state["config"]), float(state["seconds"])
        changed = [name for name in config if name not in MAY_CHANGE and config[name] != stored.get(name)]
        if changed:
            raise UserError(
                f"{self.checkpoint}: made with other values of {', '.join(changed)}; "
                "use `resume=False` or another `workdir`"
            )
        with restoring(self.checkpoint, remedy):
            training.load_state_dict(state["training"])
        self._cut_log(training.kimg)
        return seconds

    def append_log(self, record: dict[str, Any]) -> None:
        """Add one JSON line to the log."""
        with self.log.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def save_samples(self, training: Training) -> None:
        """Write a grid of 8x8 images of the averaged generator, for the same latents throughout the run."""
        config = training.config
        z = latents(config.seed, 0, GRID * GRID, config.z_dim, training.device)
        with atomic_write(self.samples / f"kimg{int(training.kimg):05d}.png") as path:
            Image.fromarray(sample_grid(training.average, z)).save(path)

    def _cut_log(self, kimg: float) -> None:
        if not self.log.exists():
            return
        with restoring(self.log, "remove it"):
            lines = read_text(self.log, _LARGEST_LOG).splitlines()
            kept = "".join(f"{line}\n" for line in lines if parse_json(line)["kimg"] <= kimg)
        with atomic_write(self.log) as path:
            path.write_text(kept)


@torch.no_grad()
def sample_grid(generator: Generator, z: torch.Tensor) -> np.ndarray:
    """Return the images of `z: [8 * rows, z_dim]` as one `[rows * R, 8 * R, 3] uint8` picture."""
    images = torch.cat([generator(part, noise_mode="none") for part in z.split(16)])
    codes = (images * 127.5 + 128).clamp(0, 255).byte().cpu().numpy()
    count, channels, height, width = codes.shape
    tiles = codes.reshape(count // GRID, GRID, channels, height, width).transpose(0, 3, 1, 4, 2)
    return tiles.reshape(count // GRID * height, GRID * width, channels)
