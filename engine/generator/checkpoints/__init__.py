"""Readers of the checkpoints people hold; none of them runs anything that a file contains.

`load` gives the generator of any of these files, `report` says what a file is. One module a format, each with
`detect(container)` and `load(container)`: nvidia, tf, rosinality, flat; native files go to `generator.native`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.generator.checkpoints import flat, nvidia, rosinality, tf
from sgi.engine.generator.checkpoints.checkpoint import Checkpoint, Unsupported
from sgi.engine.generator.checkpoints.container import Container, open_container
from sgi.engine.generator.checkpoints.inspection import describe
from sgi.engine.generator.checkpoints.known import refusal
from sgi.engine.generator.file import load_generator, read_header
from sgi.engine.generator.model import Generator

READERS = (nvidia, tf, rosinality, flat)

__all__ = ["Checkpoint", "Unsupported", "load", "open_checkpoint", "report"]


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """The generator of a foreign file, whose tensors are unread until `Checkpoint.generator` is called.

    Raises UserError for a file that is no checkpoint or is native, Unsupported for a network known and not read.
    """
    with open_container(path) as box:
        if box.native:
            raise UserError(f"{path}: a native generator already; use it as it is")
        yield _checkpoint(box)


def load(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The generator of a checkpoint of any format, float32, in eval mode and frozen; raises UserError."""
    with open_container(path) as box:
        if not box.native:
            return _checkpoint(box).generator().to(device)
    return load_generator(path, device)


def report(path: str | Path) -> dict[str, Any]:
    """What a checkpoint is, JSON-able; `refused` says why one that is recognised cannot be read.

    Raises UserError for a file that is no checkpoint.
    """
    with open_container(path) as box:
        facts: dict[str, Any] = {"packing": box.kind, "sha256": sha256_file(path)}
        if box.native:
            return {**facts, "format": "native generator", **read_header(path)["config"], "refused": None}
        try:
            return {**facts, **describe(box, _checkpoint(box)), "refused": None}
        except Unsupported as error:
            return {**facts, "refused": str(error)}


def _checkpoint(box: Container) -> Checkpoint:
    for reader in READERS:
        if reader.detect(box):
            return reader.load(box)
    raise refusal(box)
