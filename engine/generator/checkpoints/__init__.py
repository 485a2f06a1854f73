"""Readers of StyleGAN2 checkpoints of other projects. No reader executes anything in a file.

`load` returns the generator of a file, and `report` describes a file. The table of formats is in `readers`. Generator
files of this project are read by `generator.file`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch

from sgi.engine.budget import expanded
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.generator.checkpoints.checkpoint import Checkpoint, Unsupported
from sgi.engine.generator.checkpoints.container import Container, open_container
from sgi.engine.generator.checkpoints.inspection import describe
from sgi.engine.generator.checkpoints.known import refusal
from sgi.engine.generator.checkpoints.readers import READERS
from sgi.engine.generator.file import load_generator, read_header
from sgi.engine.generator.model import Generator

__all__ = ["Checkpoint", "Unsupported", "load", "open_checkpoint", "report"]


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Open a checkpoint of another project; its tensors are read later, by `Checkpoint.generator`.

    Raises UserError for a file that is not a checkpoint and for a generator file of this project, Unsupported for a
    network that is recognised and not supported.
    """
    with open_container(path) as container:
        if container.is_generator_file:
            raise UserError(f"{path}: already a generator file of sgi-engine; use it without conversion")
        yield _checkpoint(container)


def load(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The generator of a file of any format, float32, in eval mode, without gradients.

    Raises UserError for a file that is not a checkpoint, and for a network that is not supported.
    """
    with open_container(path) as container:
        if not container.is_generator_file:
            return _checkpoint(container).generator().to(device)
    return load_generator(path, device)


def report(path: str | Path) -> dict[str, Any]:
    """Describe a checkpoint by JSON values; `refused` is the reason why its network is not supported, or None.

    Raises UserError for a file that is not a checkpoint.
    """
    with open_container(path) as container:
        facts: dict[str, Any] = {"packing": container.kind, "sha256": sha256_file(path)}
        if container.is_generator_file:
            return {**facts, "format": "sgi-engine generator file", **read_header(path).config, "refused": None}
        try:
            return {**facts, **describe(container, _checkpoint(container)), "refused": None}
        except Unsupported as error:
            return {**facts, "refused": str(error)}


def _checkpoint(container: Container) -> Checkpoint:
    for reader in READERS:
        if reader.detect(container):
            checkpoint = reader.load(container)
            _check_size(container, checkpoint)
            return checkpoint
    raise refusal(container)


def _check_size(container: Container, checkpoint: Checkpoint) -> None:
    """Raise UserError for tensors that take much more memory than the file: they share their numbers."""
    needed = 4 * sum(prod(ref.shape) for ref in checkpoint.tensors.values())
    if needed > expanded(container.reader.size):
        raise UserError(
            f"{container.label}: refused, its tensors take {needed >> 20} MiB, and the file has "
            f"{container.reader.size >> 20} MiB of numbers"
        )
