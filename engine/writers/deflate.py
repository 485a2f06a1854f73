"""Deflate for the rows of PNG files: ISA-L where the package isal is installed, otherwise zlib.

ISA-L is three to eight times as fast as zlib's level 1. See docs/experiments.md, "PNG encoders".
"""

from __future__ import annotations

import zlib
from typing import Any

isal_zlib: Any
try:
    from isal import isal_zlib
except ImportError:  # a machine without wheels of isal
    isal_zlib = None

_LEVEL = 1
_FIRST = 8
"""Bytes of a stream that are compressed before the others.

At the start of a longer block ISA-L stores one position under a random hash, so that equal data give other matches in
another thread or process (`.write_first_byte` in igzip_icf_body_h1_gr_bt.asm). A block of 4 to 16 bytes is compressed
by other code (igzip_icf_finish.asm), and the following one then has a history.
"""
LONGEST_WINDOW = 15


def library() -> tuple[str, str]:
    """The name and the version of the library that compresses PNG files here: isal or zlib."""
    if isal_zlib is None:
        return "zlib", zlib.ZLIB_RUNTIME_VERSION
    import isal

    return "isal", isal.__version__


def compress(data: Any, window: int = LONGEST_WINDOW) -> bytes:
    """A zlib stream of bytes or of a contiguous buffer; equal data give equal bytes in every process.

    The interpreter lock is released meanwhile.
    window: ISA-L looks for matches at distances up to 2^window bytes, 9 to 15. zlib uses its whole window: with 512
    bytes it takes three times as long.
    """
    if isal_zlib is None:
        return zlib.compress(data, _LEVEL)
    rows = memoryview(data).cast("B")
    packer = isal_zlib.compressobj(_LEVEL, zlib.DEFLATED, window)
    first = packer.compress(rows[:_FIRST]), packer.flush(zlib.Z_SYNC_FLUSH)
    return b"".join((*first, packer.compress(rows[_FIRST:]), packer.flush()))


def crc32(data: bytes, start: int = 0) -> int:
    """The CRC-32 of bytes that follow those with the CRC-32 `start`."""
    return zlib.crc32(data, start) if isal_zlib is None else isal_zlib.crc32(data, start)
