"""The start of a training run from the networks of another run: an averaged generator and its discriminator.

Both are needed. With a new discriminator the generator loses most of its quality before it improves again; see
docs/experiments.md, "Starting from a generator without its discriminator".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, load_generator
from sgi.engine.generator.file import read_header
from sgi.engine.tensor_file import FileKind
from sgi.trainer.gan.discriminator import Discriminator
from sgi.trainer.gan.step import Training, generator_config
from sgi.trainer.gan.train_config import TrainConfig


class DiscriminatorHeader(msgspec.Struct):
    """Header of a discriminator file. kimg: thousands of images that it was trained on."""

    kimg: float


DISCRIMINATOR_FILE = FileKind(
    "sgi_discriminator", 1, DiscriminatorHeader, "a discriminator", "use one that `sgi-engine train-generator` wrote"
)


@dataclass
class Start:
    """Networks to start from, and their training so far.

    discriminator: state dict, float32. kimg: thousands of images trained on. seconds: training time.
    """

    generator: Generator
    discriminator: dict[str, Tensor]
    kimg: float
    seconds: float

    def load_into(self, training: Training) -> None:
        """Copy the networks into a run that has not begun. The moments of its optimisers stay zero."""
        training.generator.load_state_dict(self.generator.state_dict())
        training.average.load_state_dict(self.generator.state_dict())
        training.discriminator.load_state_dict(self.discriminator)
        training.steps = round(self.kimg * 1000 / training.config.batch)


def save_discriminator(path: str | Path, discriminator: Discriminator, kimg: float) -> None:
    """Write a discriminator as float16, whole or not at all.

    Half precision is enough for a start: the next steps change every weight by more than its rounding error.
    """
    state = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in discriminator.state_dict().items()
    }
    DISCRIMINATOR_FILE.write(path, state, DiscriminatorHeader(kimg))


def load_start(config: TrainConfig, generator: str | Path, discriminator: str | Path) -> Start:
    """Read both files for a run of `config`.

    generator: the ema.safetensors of a run, or a bundled generator. discriminator: the discriminator.safetensors of the
    same run. Raises UserError for other files, for layers that do not match `config`, and for files that a run wrote at
    different times.
    """
    network = load_generator(generator)
    if network.config != generator_config(config):
        raise UserError(f"`generator={generator}`: its layers are not those of `preset`; choose its own preset")
    notes = read_header(generator).notes
    try:
        kimg, seconds = float(notes["kimg"]), float(notes["seconds"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"`generator={generator}`: not made by `sgi-engine train-generator`") from None
    header, tensors = DISCRIMINATOR_FILE.read(discriminator, "pt")
    state = {name: tensor.float() for name, tensor in tensors.items()}
    example = Discriminator(config.resolution, config.channel_base, config.channel_max).state_dict()
    if {name: tensor.shape for name, tensor in state.items()} != {n: tensor.shape for n, tensor in example.items()}:
        raise UserError(f"`discriminator={discriminator}`: its layers are not those of `preset`")
    if header.kimg != kimg:
        raise UserError(
            f"`discriminator={discriminator}`: it was trained on {header.kimg} kimg, the generator on {kimg}; "
            "use both files of one run"
        )
    return Start(network, state, kimg, seconds)
