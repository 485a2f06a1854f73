"""Names what a file is that no reader of ours reads, from its first bytes, and says what to do about it.

Downloads often leave something else under the name of a model: a web page, an error page, a pointer of Git LFS, an
archive. Readers call `foreign` where their own format fails.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from sgi.engine.errors import one_line

HEAD_BYTES = 4096
_SHOWN = 40

_UNPACK = "unpack it first"
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file itself: run `git lfs pull`, or download the file",
    ),
    (b"\x1f\x8b", f"compressed by gzip: {_UNPACK}, with `gunzip`"),
    (b"BZh", f"compressed by bzip2: {_UNPACK}, with `bunzip2`"),
    (b"\xfd7zXZ\x00", f"compressed by xz: {_UNPACK}, with `unxz`"),
    (b"\x28\xb5\x2f\xfd", f"compressed by zstd: {_UNPACK}, with `unzstd`"),
    (b"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    (b"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    (b"PK\x03\x04", "a zip archive: unpack it first, unless it is a .pt file of PyTorch"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which Keras and MATLAB write"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"GGUF", "a GGUF file of llama.cpp"),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF8", "a picture (GIF)"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "a program or library (ELF)"),
    (b"ftrt", "a TensorRT engine"),
    (b"\x80", "a pickle, as .pkl files of NVIDIA and old .pt files of PyTorch are"),
)
_AGAIN = "the download failed; download the file itself again"


def foreign(path: str | os.PathLike[str]) -> str | None:
    """What a file is and what to do, such as "a web page (HTML): the download failed ..."; None if nothing is known.

    Reads the first 4096 bytes, of regular files only. A path that cannot be read gives None.
    """
    path = Path(path)
    try:
        if path.is_dir():
            inside = (path / "data.pkl").is_file()
            return "a folder, an unpacked .pt file: pack it with `zip -0 -r`, or use the .pt file" if inside else None
        if not path.is_file():
            return None
        with open(path, "rb") as file:
            return foreign_bytes(file.read(HEAD_BYTES), path.stat().st_size)
    except OSError:
        return None


def foreign_bytes(head: bytes, size: int) -> str | None:
    """What a file is that begins with `head` and has `size` bytes, as in `foreign`."""
    if not size:
        return "an empty file: download or copy it again"
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}, with `tar -xf`"
    if head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] + 8 > size:
        return "a truncated safetensors file: download or copy it again"
    if not any(head):
        return "only zeros: the download or the copy failed; do it again"
    return _text(head)


def _text(head: bytes) -> str | None:
    """What a text is, None for other bytes."""
    try:
        text = head.decode() if len(head) < HEAD_BYTES else _whole_letters(head).decode()
    except UnicodeDecodeError:
        return None
    text = text.removeprefix("\ufeff")
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return f"a web page (HTML): {_AGAIN}"
    if start.startswith(("<?xml", "<error")):
        return f"an XML page, such as storage services send for an error: {_AGAIN}"
    if any(not c.isprintable() and not c.isspace() for c in text):
        return None
    if start.startswith(("{", "[")):
        return "a JSON text"
    first = one_line(text.strip().splitlines()[0], _SHOWN) if text.strip() else ""
    return f"a text that begins with {first!r}" if first else "a text without words: download or copy it again"


def _whole_letters(head: bytes) -> bytes:
    """UTF-8 bytes without the last letter, which may be cut off."""
    end = len(head) - 1
    while end > 0 and head[end] & 0xC0 == 0x80:
        end -= 1
    return head[:end]
