"""Names what a file is that no reader of ours reads, from its first bytes, and says what to do about it.

Downloads often leave something else under the name of a model: a web page, an error page, a pointer of Git LFS, an
archive. Readers call `foreign` where their own format fails.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from safetensors import SafetensorError, safe_open

from sgi.engine.budget import check_safetensors, parse_json, read_bytes
from sgi.engine.errors import one_line
from sgi.engine.onnx_wire import NotOnnxError, read_metadata

HEAD_BYTES = 4096
OWN_KINDS = {
    "generator": "a generator file of sgi-engine",
    "offset": "an offset file of sgi-engine",
    "teacher": "a teacher file of sgi-engine",
    "discriminator": "a discriminator file of sgi-engine",
    "latents": "a file of w+ that `sgi-engine invert` wrote",
    "baselines": "a file of baselines that a fit of sgi-engine wrote",
}
"""Kind of our safetensors files, whose header is the metadata `sgi_KIND` -> what it is."""
_SHOWN, _SHOWN_NAMES = 40, 3

_UNPACK = "unpack it first"
_PICKLE = "a pickle, as .pkl files of NVIDIA and old .pt files of PyTorch are"
# First bytes, what the file is, and what to do; without it, the remedy of the reader counts.
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file itself",
        "run `git lfs pull`, or download the file",
    ),
    (b"\x1f\x8b", "compressed by gzip", f"{_UNPACK}, with `gunzip`"),
    (b"BZh", "compressed by bzip2", f"{_UNPACK}, with `bunzip2`"),
    (b"\xfd7zXZ\x00", "compressed by xz", f"{_UNPACK}, with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", f"{_UNPACK}, with `unzstd`"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which Keras and MATLAB write", ""),
    (b"\x93NUMPY", "a NumPy array (.npy), such as a map of `sgi-engine run`", ""),
    (b"GGUF", "a GGUF file of llama.cpp", ""),
    (b"\x89PNG\r\n\x1a\n", "a picture (PNG)", ""),
    (b"\xff\xd8\xff", "a picture (JPEG)", ""),
    (b"GIF8", "a picture (GIF)", ""),
    (b"%PDF-", "a PDF document", ""),
    (b"\x7fELF", "a program or library (ELF)", ""),
    (b"ftrt", "a TensorRT engine", ""),
    (b"\x80\x02", _PICKLE, ""),
    (b"\x80\x03", _PICKLE, ""),
    (b"\x80\x04", _PICKLE, ""),
    (b"\x80\x05", _PICKLE, ""),
)
_AGAIN = "the download failed; download the file itself again"
_COPY = "download or copy it again"


def foreign(path: str | os.PathLike[str], remedy: str = "") -> str | None:
    """What a file is and what to do, such as "a web page (HTML): the download failed ..."; None if nothing is known.

    remedy: what to do about a file that is not damaged, such as an array in place of a model. Reads the first 4096
    bytes of regular files, and headers of safetensors, ONNX and JSON. A path that cannot be read gives None.
    """
    path = Path(path)
    try:
        if path.is_dir():
            what, own = _folder(path)
        elif path.is_file():
            with open(path, "rb") as file:
                what, own = _file(path, file.read(HEAD_BYTES), path.stat().st_size)
        else:
            return None
    except OSError:
        return None
    if not what:
        return None
    return f"{what}: {own}" if own else f"{what}; {remedy}" if remedy else what


def _folder(path: Path) -> tuple[str, str]:
    if (path / "data.pkl").is_file():
        return "a folder, an unpacked .pt file", "pack it with `zip -0 -r`, or use the .pt file"
    return ("a folder of maps that `sgi-engine run` wrote" if (path / "run.json").is_file() else ""), ""


def _file(path: Path, head: bytes, size: int) -> tuple[str, str]:
    """What a file is that begins with `head` and has `size` bytes, and what to do; empty texts if it is not known."""
    if not size:
        return "an empty file", _COPY
    for magic, what, own in _MAGIC:
        if head.startswith(magic):
            return what, own
    if head.startswith(b"PK\x03\x04"):
        return _zip(head)
    if head[257:262] == b"ustar":
        return "a tar archive", f"{_UNPACK}, with `tar -xf`"
    if head[8:9] == b"{":
        end = struct.unpack("<Q", head[:8])[0] + 8
        return ("a truncated safetensors file", _COPY) if end > size else _safetensors(path)
    if not any(head):
        return "only zeros", "the download or the copy failed; do it again"
    if head.startswith(b"\x08"):
        return _onnx(path), ""
    return _text(path, head)


def _zip(head: bytes) -> tuple[str, str]:
    """A zip archive, by the name of its first entry."""
    length = int.from_bytes(head[26:28], "little")
    first = head[30 : 30 + length]
    if first.endswith(b".npy"):
        return "an .npz archive of NumPy arrays", ""
    if first.partition(b"/")[2] in (b"data.pkl", b".format_version", b"version", b".data/serialization_id"):
        return "a .pt file of PyTorch", ""
    return "a zip archive", _UNPACK


def _safetensors(path: Path) -> tuple[str, str]:
    try:
        check_safetensors(path)
        with safe_open(str(path), framework="np") as file:
            metadata = file.metadata() or {}
    except ValueError:
        return "", ""
    except SafetensorError as error:
        # The library's words for tensors that end elsewhere than the file.
        wrong_length = "not fully covered" in str(error)
        return ("a safetensors file of another length than its header gives", _COPY) if wrong_length else ("", "")
    for kind, what in OWN_KINDS.items():
        if f"sgi_{kind}" in metadata:
            return what, ""
    return "a safetensors file of another program", ""


def _onnx(path: Path) -> str:
    try:
        return "an exported model of sgi-engine" if "sgi_engine" in read_metadata(path) else "an ONNX model"
    except NotOnnxError:
        return ""


def _text(path: Path, head: bytes) -> tuple[str, str]:
    try:
        text = head.decode() if len(head) < HEAD_BYTES else _whole_letters(head).decode()
    except UnicodeDecodeError:
        return "", ""
    text = text.removeprefix("\ufeff")
    start = text.lstrip()[:200].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "a web page (HTML)", _AGAIN
    if start.startswith(("<?xml", "<error")):
        return "an XML page, such as storage services send for an error", _AGAIN
    if any(not c.isprintable() and not c.isspace() for c in text):
        return "", ""
    if start.startswith(("{", "[")):
        return _json(path), ""
    first = one_line(text.strip().splitlines()[0], _SHOWN) if text.strip() else ""
    return (f"a text that begins with {first!r}", "") if first else ("a text without words", _COPY)


def _json(path: Path) -> str:
    try:
        values = parse_json(read_bytes(path))
    except (OSError, ValueError):
        values = None
    if not isinstance(values, dict) or not values:
        return "a JSON text"
    names = ", ".join(one_line(name, _SHOWN) for name in list(values)[:_SHOWN_NAMES])
    return f"a JSON text with {names}"


def _whole_letters(head: bytes) -> bytes:
    """UTF-8 bytes without the last letter, which may be cut off."""
    end = len(head) - 1
    while end > 0 and head[end] & 0xC0 == 0x80:
        end -= 1
    return head[:end]
