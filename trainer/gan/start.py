"""Where a run begins that goes on with networks trained before: an averaged generator and its discriminator.

A generator without the discriminator it was trained against is no start. Given a new one, taught with 80 thousand of
its pictures and as many renders, the bundled generator (a million images) went from a Frechet distance of 0.046 to 0.23
within 5 thousand images at half the full rate, and to 0.06 at a fiftieth.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator, load_generator
from sgi.engine.generator.file import read_header
from sgi.trainer.gan.config import TrainConfig
from sgi.trainer.gan.discriminator import Discriminator
from sgi.trainer.gan.step import Training, generator_config

HEADER_KEY = "sgi_discriminator"
FORMAT = 1


@dataclass
class Start:
    """Networks to begin with, and what they have behind them: thousands of images, and seconds of training."""

    generator: Generator
    discriminator: dict[str, Tensor]
    kimg: float
    seconds: float

    def give(self, training: Training) -> None:
        """Put the networks into a run that has not begun; the moments of its optimisers stay empty."""
        training.generator.load_state_dict(self.generator.state_dict())
        training.average.load_state_dict(self.generator.state_dict())
        training.discriminator.load_state_dict(self.discriminator)
        training.steps = round(self.kimg * 1000 / training.config.batch)


def save_discriminator(path: Path, discriminator: Discriminator, kimg: float) -> None:
    """Write a discriminator as float16, whole or not at all.

    Half precision suits a start: the next steps move every weight by more than its rounding.
    """
    state = {name: tensor.detach().to("cpu", torch.float16) for name, tensor in discriminator.state_dict().items()}
    header = json.dumps({"format": FORMAT, "kimg": kimg})
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(state, metadata={HEADER_KEY: header}))


def load_start(config: TrainConfig, generator: Path, discriminator: Path) -> Start:
    """Read both files for a run of `config`.

    generator: what a run writes as ema.safetensors, or a bundled generator. discriminator: what it writes beside it.
    Raises UserError where a file is none of these, of other sizes than `config` has, or of another moment of training
    than the other file.
    """
    network = load_generator(generator)
    if network.config != generator_config(config):
        raise UserError(f"--generator {generator}: its layers are not those of --preset; choose the preset it is of")
    notes = read_header(generator).notes
    try:
        kimg, seconds = float(notes["kimg"]), float(notes["seconds"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"--generator {generator}: not made by `sgi-engine train-generator`") from None
    state, seen = _read_discriminator(discriminator)
    example = Discriminator(config.resolution, config.channel_base, config.channel_max).state_dict()
    if {name: tensor.shape for name, tensor in state.items()} != {n: tensor.shape for n, tensor in example.items()}:
        raise UserError(f"--discriminator {discriminator}: its layers are not those of --preset")
    if seen != kimg:
        raise UserError(
            f"--discriminator {discriminator}: it has seen {seen} kimg and --generator {kimg}; take both from one run"
        )
    return Start(network, state, kimg, seconds)


def _read_discriminator(path: Path) -> tuple[dict[str, Tensor], float]:
    """Tensors as float32, and the thousands of images that it has seen."""
    try:
        with safe_open(str(path), framework="pt") as file:
            header: Any = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise UserError(f"--discriminator {path}: not a discriminator that `train-generator` wrote")
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
            return state, float(header["kimg"])
    except FileNotFoundError:
        raise UserError(f"--discriminator {path}: no such file") from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise UserError(f"--discriminator {path}: not a readable safetensors file ({error})") from None
