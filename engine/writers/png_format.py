"""Maps as .png files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.codes import pixels_of, values_of
from sgi.engine.intrinsics import Kind
from sgi.engine.writers.png import encode_pngs


class Png:
    """PNG, with the codes of `sgi.engine.codes`.

    Class indices are stored as an indexed PNG, whose pixels are the indices and whose palette contains the colours of
    the classes.
    """

    suffix = ".png"

    def encode(self, kind: Kind, value: np.ndarray) -> bytes:
        """See `MapFormat.encode`."""
        return self.encode_batch(kind, pixels_of(kind, value)[None])[0]

    def encode_batch(self, kind: Kind, pixels: np.ndarray) -> list[bytes]:
        """See `CodedFormat.encode_batch`."""
        row = intrinsics.get(kind)
        if row.decoding == "palette":
            return encode_pngs(pixels[..., 0], (intrinsics.colours(row) * 255 + 0.5).astype(np.uint8))
        return encode_pngs(pixels[..., 0] if row.channels == 1 else pixels)

    def decode(self, kind: Kind, data: bytes) -> np.ndarray:
        """See `MapFormat.decode`."""
        return values_of(kind, self.decode_codes(kind, data))

    def decode_codes(self, kind: Kind, data: bytes) -> NDArray[Any]:
        """The codes [H, W, C] uint8 or uint16 in the bytes of a file."""
        from PIL import Image

        try:
            # Only PNG: to read PostScript, Pillow starts another program.
            with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
                pixels = np.asarray(picture)
        except Image.DecompressionBombError:
            raise ValueError("more pixels than any map has") from None
        return pixels[..., None] if intrinsics.get(kind).channels == 1 else pixels
