"""File formats of maps: png for eyes and most tools, npy for the exact values.

A format turns one map into bytes and back; the run loop names the file and writes it whole. A new format is one class
and one entry of FORMATS.
"""

from __future__ import annotations

import io
from typing import Protocol

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Kind
from sgi.engine.writers.png import encode_png


class MapFormat(Protocol):
    """A file format of one map."""

    suffix: str

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """Turn values [C, H, W] float32 of a type into the bytes of a file."""
        ...

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """Turn the bytes of a file back into values [C, H, W] float32."""
        ...


class Png:
    """PNG with the codes of the table of types.

    8-bit types hold the display code, 16-bit types the value, linear from the low to the high end of its range; both
    rounded to the nearest step: floor(u * 255 + 0.5), which for pictures is NVIDIA's floor(x * 127.5 + 128).
    Class indices are an indexed PNG: viewers show the colours, readers of the pixels get the indices.
    """

    suffix = ".png"

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """See `MapFormat.encode`."""
        row = intrinsics.get(kind)
        if row.decoding == "palette":
            table = intrinsics.colours(row)
            index = np.clip(np.rint(value[0]), 0, len(table) - 1).astype(np.uint8)
            return encode_png(index, (table * 255 + 0.5).astype(np.uint8))
        if row.png_bits == 8:
            code, dtype = intrinsics.encode(row, value), np.uint8
        else:
            code, dtype = np.clip((value - row.low) / (row.high - row.low), 0, 1), np.uint16
        pixels = (code * np.iinfo(dtype).max + 0.5).astype(dtype)
        return encode_png(pixels[0] if row.channels == 1 else np.moveaxis(pixels, 0, -1))

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """See `MapFormat.decode`."""
        from PIL import Image

        row = intrinsics.get(kind)
        with Image.open(io.BytesIO(data)) as picture:
            pixels = np.asarray(picture)
        if row.decoding == "palette":
            return pixels[None].astype(np.float32)
        code = pixels.astype(np.float32) / (2**row.png_bits - 1)
        code = code[None] if row.channels == 1 else np.moveaxis(code, -1, 0)
        if row.png_bits == 8:
            return np.asarray(intrinsics.decode(row, code), np.float32)
        return row.low + code * np.float32(row.high - row.low)


class Npy:
    """NumPy's .npy: float32 [C, H, W], the model's own output without its batch axis."""

    suffix = ".npy"

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """See `MapFormat.encode`."""
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(value, np.float32), allow_pickle=False)
        return buffer.getvalue()

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """See `MapFormat.decode`."""
        return np.load(io.BytesIO(data), allow_pickle=False)


FORMATS: dict[str, MapFormat] = {"png": Png(), "npy": Npy()}


def get_format(name: str) -> MapFormat:
    """Look a format up by name; raises UserError, naming --format."""
    try:
        return FORMATS[name]
    except KeyError:
        raise UserError(f"--format {name}: choose from {', '.join(FORMATS)}") from None
