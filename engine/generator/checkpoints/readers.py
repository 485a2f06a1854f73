"""The table of checkpoint formats, with one module for each.

A new format is one module in this folder with the functions of `Reader`, and its name in the import and in READERS.
"""

from __future__ import annotations

from typing import Protocol

from sgi.engine.generator.checkpoints import basicsr, flat, nvidia, rosinality, tf
from sgi.engine.generator.checkpoints.checkpoint import Checkpoint
from sgi.engine.generator.checkpoints.container import Container


class Reader(Protocol):
    """The functions of a module that reads one format."""

    def detect(self, container: Container) -> bool:
        """Whether the container has this format; reads no tensor."""
        ...

    def load(self, container: Container) -> Checkpoint:
        """The generator in the container, whose tensors are read later.

        Raises UserError for a damaged file, Unsupported for a network that this project does not support.
        """
        ...


# The first reader that detects a file reads it.
READERS: tuple[Reader, ...] = (
    nvidia,
    tf,
    rosinality,
    basicsr,
    flat,
)
