"""Tensors and numbers from inert records, in the forms that torch and NumPy write to pickles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BufferedReader, BytesIO
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.records import Blob, Call, Latin1, Name, Persistent, raw_bytes, shown
from sgi.engine.generator.checkpoints.torch_file import (
    HEADER_OPCODES,
    ITEM_BYTES,
    Storage,
    check_crc32,
    read_stream,
    storage_key,
)

MAX_DIMENSIONS = 8
_FLOATS = {"Float": "<f4", "Half": "<f2", "BFloat16": "<u2", "Double": "<f8"}
_DTYPE_NAMES = {"Float": "float32", "Half": "float16", "BFloat16": "bfloat16", "Double": "float64"}
_NUMPY_TYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")  # protocol 5
# Functions of torch/_utils.py -> their numbers of arguments, which begin with storage, offset, size and stride.
_TENSORS = {"torch._utils._rebuild_tensor": (4,), "torch._utils._rebuild_tensor_v2": (6, 7)}
# Functions whose first argument is a tensor or an array -> their number of arguments: a parameter, one with Python
# attributes, and a tensor of an accelerator that has no storages of its own (TPU).
_WRAPPERS = {
    "torch._utils._rebuild_parameter": 3,
    "torch._utils._rebuild_parameter_with_state": 4,
    "torch._utils._rebuild_device_tensor_from_numpy": 4,
    "torch._utils._rebuild_xla_tensor": 4,
}
_WITH_ATTRIBUTES = "torch._tensor._rebuild_from_type_v2"  # (function, type, arguments, Python attributes)
_PLAIN_TYPES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor that has not been read from its file: its shape, its stored dtype, and a function that reads it."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], NDArray[np.float32]]

    def map(self, shape: tuple[int, ...], change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Ref:
        """This tensor after `change`, which returns an array of shape `shape`."""
        return Ref(shape, self.dtype, lambda: change(self.read()))

    def reshape(self, *shape: int) -> Ref:
        """This tensor in another shape with the same number of elements."""
        return self.map(shape, lambda x: x.reshape(shape))


def _unwrapped(value: Call) -> Any:
    """The tensor or array inside of a parameter, or of a tensor with Python attributes; another record itself."""
    args = value.args
    if value.target == _WITH_ATTRIBUTES and len(args) == 4 and args[1] in _PLAIN_TYPES:
        return Call(args[0], args[2]) if isinstance(args[0], Name) and isinstance(args[2], tuple) else value
    return args[0] if _WRAPPERS.get(value.target) == len(args) else value


def filled(shape: tuple[int, ...], value: float = 0.0) -> Ref:
    """A constant tensor, for parts that a network does not use."""
    return Ref(shape, "float32", lambda: np.full(shape, value, np.float32))


class TensorReader:
    """Converts the records of an open file to tensors; storages: those of the file's torch container, if any."""

    def __init__(self, file: BufferedReader, size: int, label: str, storages: dict[str, Storage] | None = None) -> None:
        self.file = file
        self.size = size
        self.label = label
        self._storages = storages or {}
        self._checked: set[Storage] = set()

    def is_tensor(self, value: Any) -> bool:
        """Whether a record has the form of a tensor or an array."""
        targets = (*_TENSORS, *_WRAPPERS, _WITH_ATTRIBUTES, *_ARRAYS, *_BUFFERS, *_SCALARS)
        return isinstance(value, Ref) or (isinstance(value, Call) and value.target in targets)

    def tensor(self, value: Any, name: str) -> Ref:
        """The tensor of a record; name: for messages. Raises UserError if it is not a plain tensor of floats."""
        if isinstance(value, Ref):
            return value
        if isinstance(value, Call):
            value = _unwrapped(value)
        if isinstance(value, Call):
            if len(value.args) in _TENSORS.get(value.target, ()):
                return self._torch_tensor(value.args, name)
            if value.target in _ARRAYS:
                state = value.state
                if not isinstance(state, tuple) or len(state) != 5:
                    raise self._bad(name, "an array without data")
                return self._array(state[4], state[2], state[1], state[3] is True, name)
            if value.target in _BUFFERS:
                return self._buffer(value.args, name)
            if value.target in _SCALARS and len(value.args) == 2:
                # TensorFlow returns a NumPy scalar, not an array, for a variable without axes.
                return self._array(value.args[1], value.args[0], (), False, name)
            raise self._bad(name, f"{value.target} is not a plain tensor")
        raise self._bad(name, "not a tensor")

    def number(self, value: Any, name: str) -> float:
        """The value of a Python number, or of a NumPy scalar stored as `scalar(dtype, bytes)`."""
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, Call) and value.target in _SCALARS and len(value.args) == 2:
            return float(self._numbers(value.args[1], self._numpy_type(value.args[0], name), 1, name)()[0])
        raise self._bad(name, "not a number")

    def _bad(self, name: str, reason: str) -> UserError:
        return UserError(f"{self.label}: not a readable checkpoint ({name}: {reason})")

    def _read(self, raw: Blob | bytes | Latin1, source: BinaryIO | None = None) -> NDArray[np.uint8]:
        """The bytes; source: the open file that a Blob is in, if it is not the checkpoint."""
        if isinstance(raw, bytes):
            return np.frombuffer(bytearray(raw), np.uint8)
        if isinstance(raw, Latin1):
            text = raw.text
            try:
                decoded = text if isinstance(text, str) else self._read(Blob(*text[:2])).tobytes().decode()
                return np.frombuffer(bytearray(decoded, "latin-1"), np.uint8)
            except UnicodeError:
                raise UserError(f"{self.label}: not a readable checkpoint (bytes stored as text are damaged)") from None
        data = np.empty(raw.length, np.uint8)
        file = source or self.file
        file.seek(raw.start)
        if file.readinto(data.data) != raw.length:  # type: ignore[attr-defined]
            raise UserError(f"{self.label}: truncated while it was read")
        return data

    def _storage(self, value: Any, name: str) -> Storage:
        if isinstance(value, Persistent):
            found = self._storages.get(storage_key(value.identifier, self.label)[0])
            if found is not None:
                return found
        if isinstance(value, Call) and value.target == "torch.storage._load_from_bytes" and len(value.args) == 1:
            raw = raw_bytes(value.args[0])
            if isinstance(raw, Blob):
                self.file.seek(raw.start)
                nested = read_stream(self.file, raw.start + raw.length, self.label, HEADER_OPCODES)
            elif isinstance(raw, Latin1):
                data = self._read(raw).tobytes()
                nested = read_stream(BytesIO(data), len(data), self.label, HEADER_OPCODES, is_inside_text=True)
            if raw is not None and not isinstance(raw, bytes) and isinstance(nested.root, Persistent):
                key = storage_key(nested.root.identifier, self.label)[0]
                return nested.storages[key]
        raise self._bad(name, "a storage of unknown kind")

    def _torch_tensor(self, args: tuple[Any, ...], name: str) -> Ref:
        storage = self._storage(args[0], name)
        offset, shape, stride = args[1:4]
        if storage.kind not in _FLOATS:
            raise self._bad(name, f"contains {storage.kind} numbers, floats expected")
        if not _sizes(shape) or not _sizes(stride) or not _sizes((offset,)) or len(shape) != len(stride):
            raise self._bad(name, "wrong sizes")
        count = math.prod(shape)
        span = 1 + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if count else 0
        if count > storage.numel or offset + span > storage.numel:
            raise self._bad(name, "a tensor larger than its storage")

        def read() -> NDArray[np.float32]:
            if storage.crc32 is not None and storage not in self._checked:
                check_crc32(self.file, storage, self.label)
                self._checked.add(storage)
            item = ITEM_BYTES[storage.kind]
            part = Blob(storage.blob.start + offset * item, span * item)
            raw = self._read(part, storage.source).view(_FLOATS[storage.kind])
            if storage.kind == "BFloat16":
                raw = (raw.astype("<u4") << 16).view("<f4")
            strides = tuple(step * raw.itemsize for step in stride)
            return np.asarray(np.lib.stride_tricks.as_strided(raw, shape, strides), np.float32, order="C")

        return Ref(tuple(shape), _DTYPE_NAMES[storage.kind], read)

    def _buffer(self, args: tuple[Any, ...], name: str) -> Ref:
        """An array of protocol 5. Source: `_frombuffer` in numpy/_core/numeric.py; the order K is that of NumPy 2.3."""
        if len(args) not in (4, 5):
            raise self._bad(name, "an array without data")
        raw, kind, shape, order = args[:4]
        if order in ("C", "F"):
            return self._array(raw, kind, shape, order == "F", name)
        axes = args[4] if len(args) == 5 and order == "K" else ()
        if not _sizes(axes) or not _sizes(shape) or sorted(axes) != list(range(len(shape))):
            raise self._bad(name, "an array in an unknown order")
        turned = tuple(shape[axis] for axis in axes)
        return self._array(raw, kind, shape, False, name).map(turned, lambda x: np.ascontiguousarray(x.transpose(axes)))

    def _array(self, data: Any, kind: Any, shape: Any, fortran: bool, name: str) -> Ref:
        """A NumPy array from its bytes, the record of its dtype, its shape and its order."""
        if not _sizes(shape):
            raise self._bad(name, "an array without data")
        dtype = self._numpy_type(kind, name)
        numbers = self._numbers(data, dtype, math.prod(shape), name)

        def read() -> NDArray[np.float32]:
            array = numbers().reshape(shape, order="F" if fortran else "C")
            return np.asarray(array, np.float32, order="C")

        return Ref(tuple(shape), dtype.name, read)

    def _numbers(self, data: Any, dtype: np.dtype[Any], count: int, name: str) -> Callable[[], NDArray[Any]]:
        """A function that reads `count` numbers; raises UserError if the data have another size."""
        raw = raw_bytes(data)
        wrong = self._bad(name, "an array whose size differs from its data")
        length = count * dtype.itemsize
        if raw is None:
            raise wrong
        if isinstance(raw, Latin1):
            # A character from 128 to 255 has two bytes in UTF-8.
            text = raw.text
            shortest, longest = (len(text),) * 2 if isinstance(text, str) else (-(-text.length // 2), text.length)
        else:
            shortest = longest = raw.length if isinstance(raw, Blob) else len(raw)
        if not shortest <= length <= longest:
            raise wrong

        def read() -> NDArray[Any]:
            found = self._read(raw)
            if len(found) != length:
                raise wrong
            return found.view(dtype)

        return read

    def _numpy_type(self, value: Any, name: str) -> np.dtype[Any]:
        """The dtype of a record `dtype('f4', ...)` with the byte order in its state; only numeric dtypes."""
        if isinstance(value, Call) and value.target == "numpy.dtype" and value.args:
            code = value.args[0]
            if isinstance(code, str) and not isinstance(code, Name) and code in _NUMPY_TYPES:
                order = value.state[1] if isinstance(value.state, tuple) and len(value.state) > 1 else "<"
                if order in ("<", ">", "=", "|"):
                    return np.dtype((">" if order == ">" else "<") + code)
            raise self._bad(name, f"an array of type {shown(code)}, plain numbers expected")
        raise self._bad(name, "an array of unknown type")


def _sizes(values: Any) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) <= MAX_DIMENSIONS
        and all(type(value) is int and 0 <= value < 1 << 40 for value in values)
    )
