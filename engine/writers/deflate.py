"""Deflate for the rows of PNG files: ISA-L where the package isal is installed, otherwise zlib.

ISA-L is three to eight times as fast as zlib's level 1. It searches its whole window: with a smaller one, which is
faster, the bytes depend on the process. See docs/experiments.md, "PNG encoders".
"""

from __future__ import annotations

import zlib
from typing import Any

igzip_lib: Any
isal_zlib: Any
try:
    from isal import igzip_lib, isal_zlib
except ImportError:  # a machine without wheels of isal
    igzip_lib = None

_LEVEL = 1


def library() -> tuple[str, str]:
    """The name and the version of the library that compresses PNG files here: isal or zlib."""
    if igzip_lib is None:
        return "zlib", zlib.ZLIB_RUNTIME_VERSION
    import isal

    return "isal", isal.__version__


def compress(data: Any) -> bytes:
    """A zlib stream of bytes or of a contiguous buffer; the interpreter lock is released meanwhile."""
    if igzip_lib is None:
        return zlib.compress(data, _LEVEL)
    return igzip_lib.compress(data, _LEVEL, igzip_lib.COMP_ZLIB)


def crc32(data: bytes, start: int = 0) -> int:
    """The CRC-32 of bytes that follow those with the CRC-32 `start`."""
    return zlib.crc32(data, start) if igzip_lib is None else isal_zlib.crc32(data, start)
