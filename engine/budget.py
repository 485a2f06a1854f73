"""Limits of the work that one file may cause, and the readers that keep to them.

A small file can ask for much memory or time: nesting, references to the same object, sizes that a header claims,
compressed data, a pipe that never ends. Every reader of files uses the limits and the functions of this module. They
raise OSError or ValueError with a short reason, which the reader puts into its message with the name of the file.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from io import BufferedReader
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError, one_line

LARGEST_TEXT = 1 << 24
"""Bytes of a JSON, YAML or text file, of a header, and of a description inside a model."""
LARGEST_MODEL = (1 << 31) - 1
"""Bytes of an .onnx file, the limit of Protobuf."""
MAX_DEPTH = 64
"""Nesting of JSON and YAML values."""
MAX_VALUES = 50_000
"""Values of one JSON or YAML document, aliases expanded."""
MAX_INTEGER = 1 << 63
EXPANSION = 4
"""Bytes that reading may make of one byte of a file; int8 as float32 takes 4."""
EXPANSION_SLACK = 1 << 26
"""Bytes that a file of any size may take in memory."""
_NPZ_EXPANSION = 20  # deflate can make 1000 bytes of one; measured statistics are hardly compressible
_PLAIN_KINDS = "biuf"  # of NumPy dtypes
_MAX_AXES = 8
_SHOWN = 40


class Budget:
    """A count that has a limit. reason: the text of the error at the limit, with the name of the file."""

    def __init__(self, limit: int, reason: str) -> None:
        self.left = limit
        self._reason = reason

    def spend(self, count: int = 1) -> None:
        """Use some of the budget; raises UserError if less is left."""
        self.left -= count
        if self.left < 0:
            raise UserError(self._reason)


def expanded(size: int) -> int:
    """Bytes of memory that the contents of a file of `size` bytes may take."""
    return EXPANSION * size + EXPANSION_SLACK


def open_regular(path: str | os.PathLike[str], *, follow: bool = True) -> BufferedReader:
    """Open a regular file for reading, without waiting for the writer of a pipe.

    follow: whether a symbolic link is followed. Raises OSError as `open` does, and for anything but a regular file.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP and not follow:
            raise _not_regular(path, "a symbolic link") from None
        if error.errno == errno.ENXIO:
            raise _not_regular(path, "a socket or device") from None
        raise
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _not_regular(path, "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device")
    return os.fdopen(descriptor, "rb")


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether the path itself is a regular file; False for a symbolic link to one and for a missing file."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def read_bytes(path: str | os.PathLike[str], largest: int = LARGEST_TEXT, *, follow: bool = True) -> bytes:
    """The bytes of a regular file; raises OSError as `open_regular` does, and for more than `largest` bytes."""
    with open_regular(path, follow=follow) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise OSError(errno.EFBIG, "larger than any file of this kind", str(path))
    return data


def read_text(path: str | os.PathLike[str], largest: int = LARGEST_TEXT, encoding: str = "utf-8") -> str:
    """The text of a regular file; raises OSError as `read_bytes` does, UnicodeDecodeError for other encodings."""
    return read_bytes(path, largest).decode(encoding)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError as `open_regular` does, for libraries that open a path themselves."""
    open_regular(path).close()


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """The values of a JSON document; raises ValueError for damage, and for values beyond the limits.

    finite: refuse NaN and infinity, which headers of earlier versions contain.
    """
    if len(text) > LARGEST_TEXT:
        raise ValueError(f"more than {LARGEST_TEXT} bytes")
    try:
        values = json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    check_plain(values, finite=finite)
    return values


def check_plain(values: Any, *, finite: bool = True) -> None:
    """Raise ValueError unless `values` is nested lists and dicts of text, numbers, true, false and null.

    Depth, number of values and integers are limited. An object that is reached several times counts each time. Nothing
    is formatted.
    """
    left = MAX_VALUES
    waiting = [(values, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if not _is_text(value):
                raise ValueError("text with half a character")
        elif value is None:
            continue
        elif isinstance(value, float):
            if finite and not math.isfinite(value):
                raise ValueError("a number that is not finite")
        elif isinstance(value, int):
            if not -MAX_INTEGER <= value < MAX_INTEGER:
                raise ValueError("an integer of more than 64 bits")
        elif isinstance(value, dict | list):
            left -= len(value)
            if depth == MAX_DEPTH:
                raise ValueError("nested too deeply")
            if left < 0:
                raise ValueError(f"more than {MAX_VALUES} values")
            if isinstance(value, dict):
                if not all(isinstance(key, str) and _is_text(key) for key in value):
                    raise ValueError("a key that is not text")
                waiting += [(item, depth + 1) for item in value.values()]
            else:
                waiting += [(item, depth + 1) for item in value]
        else:
            raise ValueError(f"a value of the type {type(value).__name__}")


def check_safetensors(path: str | os.PathLike[str]) -> None:
    """Raise OSError or ValueError for a path that is no regular file, and for a header that is too long to parse."""
    with open_regular(path) as file:
        head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if length > LARGEST_TEXT:
        raise ValueError(f"its header claims {length} bytes")


def npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it is in Fortran order, and dtype of an .npy file, from its position; the data follow.

    Raises ValueError for a damaged header, and for arrays of anything but plain numbers.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError("a version of .npy that is not supported")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except Exception as error:  # NumPy evaluates the text of the header, which raises exceptions of many types
        raise ValueError(one_line(str(error), _SHOWN) or "a damaged header") from None
    if dtype.kind not in _PLAIN_KINDS or len(shape) > _MAX_AXES or any(side < 0 for side in shape):
        raise ValueError("an array of something else than plain numbers")
    return shape, fortran, dtype


def read_npy(source: str | os.PathLike[str] | bytes, largest: int = LARGEST_MODEL) -> NDArray[Any]:
    """The array of an .npy file or its bytes, read-only; raises OSError and ValueError, also for missing data."""
    data = source if isinstance(source, bytes) else read_bytes(source, largest)
    file = io.BytesIO(data)
    shape, fortran, dtype = npy_header(file)
    start = file.tell()
    if math.prod(shape) * dtype.itemsize != len(data) - start:
        raise ValueError(f"its header claims {_size(shape)} numbers, and it has {len(data) - start} bytes of them")
    return np.frombuffer(data, dtype, offset=start).reshape(shape, order="F" if fortran else "C")


def read_npz(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name; raises OSError, and ValueError also for arrays much larger than the file."""
    arrays = {}
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > _NPZ_EXPANSION * size + EXPANSION_SLACK:
                raise ValueError("its arrays are much larger than the file")
            for entry in entries:
                with archive.open(entry) as stream:
                    data = stream.read(entry.file_size + 1)
                arrays[entry.filename.removesuffix(".npy")] = read_npy(data)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, KeyError) as error:
        raise ValueError(one_line(str(error), _SHOWN)) from None
    return arrays


def check_stored_zip(path: str | os.PathLike[str]) -> None:
    """Raise OSError or ValueError unless a file is a zip archive without compression, as torch.save writes."""
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            size = os.fstat(file.fileno()).st_size
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(one_line(str(error), _SHOWN)) from None
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size for entry in entries):
        raise ValueError("compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries are larger than the file")


def _is_text(value: str) -> bool:
    """Whether text can be stored as UTF-8; JSON can escape half of a character, which cannot."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _integer(text: str) -> int:
    if len(text) > len(str(MAX_INTEGER)) + 1:
        raise ValueError("an integer of more than 64 bits")
    return int(text)


def _not_regular(path: str | os.PathLike[str], what: str) -> OSError:
    return OSError(errno.EINVAL, f"it is {what}, not a file", str(path))


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))[:_SHOWN] or "1"
