"""Maps as .png files."""

from __future__ import annotations

import io

import numpy as np

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Kind
from sgi.engine.writers.png import encode_png


class Png:
    """PNG, with the codes of `intrinsics`.

    Files of 8-bit types contain the display code, files of 16-bit types the value, scaled linearly from its range
    [low, high]. Both are rounded to the nearest code: floor(u * 255 + 0.5), which for images equals NVIDIA's
    floor(x * 127.5 + 128). Class indices are stored as an indexed PNG, whose pixels are the indices and whose palette
    contains the colours of the classes.
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
        try:
            # Only PNG: to read PostScript, Pillow starts another program.
            with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
                pixels = np.asarray(picture)
        except Image.DecompressionBombError:
            raise ValueError("more pixels than any map has") from None
        if row.decoding == "palette":
            return pixels[None].astype(np.float32)
        code = pixels.astype(np.float32) / (2**row.png_bits - 1)
        code = code[None] if row.channels == 1 else np.moveaxis(code, -1, 0)
        if row.png_bits == 8:
            return np.asarray(intrinsics.decode(row, code), np.float32)
        return row.low + code * np.float32(row.high - row.low)
