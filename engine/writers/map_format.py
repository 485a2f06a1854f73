"""The interface of a file format of maps."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from sgi.engine.intrinsics import Kind


class MapFormat(Protocol):
    """A file format of one map: turns values into the bytes of a file and back. The run loop writes the files.

    suffix: of file names, such as `.png`.
    """

    suffix: str

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """The bytes of a file with the values [C, H, W] float32 of a type."""
        ...

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """The values [C, H, W] float32 in the bytes of a file."""
        ...


@runtime_checkable
class CodedFormat(MapFormat, Protocol):
    """A format whose files store the codes of `sgi.engine.codes`, which a backend can compute on its device."""

    def encode_batch(self, kind: Kind, pixels: np.ndarray) -> list[bytes]:
        """The bytes of N files with the codes [N, H, W, C] uint8 or uint16 of a type.

        They are those of `encode` of values with these codes.
        """
        ...
