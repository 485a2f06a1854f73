"""Arrays in GPU memory for other libraries, through `__cuda_array_interface__` and DLPack."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

CUDA = (2, 0)  # DLPack's kDLCUDA, the first device
_FLOAT, _BITS = 2, 32


@dataclass(frozen=True)
class DeviceArray:
    """A float32 array on the GPU, for torch.as_tensor and torch.from_dlpack, CuPy, Numba, JAX.

    shape: [N, C, R, R]. address: of the first element. stream: CUDA stream that writes the array, None if it is
    complete. wait: function that returns when the array is complete; DLPack calls it, because its consumers do not get
    the stream. owner: owner of the memory, which this object keeps alive; None where a backend reuses the memory.
    device: type and number of the device in DLPack.
    """

    shape: tuple[int, ...]
    address: int
    stream: int | None
    wait: Callable[[], None] | None = None
    owner: object = None
    device: tuple[int, int] = CUDA

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": "<f4",
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": self.stream,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: int | None = None, **_: Any) -> Any:
        if self.wait is not None:
            self.wait()
        managed = _Managed(self)
        address = ctypes.addressof(managed.struct)
        _alive[address] = managed
        return _new_capsule(address, _NAME, _delete_unused)


# The structures of dlpack.h, version 0, which all consumers support.
class _DLTensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _DLManagedTensor(ctypes.Structure):
    _fields_ = (("tensor", _DLTensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p))


class _Managed:
    """A structure and the objects that it points to."""

    def __init__(self, array: DeviceArray) -> None:
        self.array = array
        self.shape = (ctypes.c_int64 * len(array.shape))(*array.shape)
        tensor = _DLTensor(
            array.address, *array.device, len(array.shape), _FLOAT, _BITS, 1,
            ctypes.cast(self.shape, ctypes.POINTER(ctypes.c_int64)), None, 0,
        )  # fmt: skip
        self.struct = _DLManagedTensor(tensor, None, ctypes.cast(_release, ctypes.c_void_p).value)


_NAME = b"dltensor"
_alive: dict[int, _Managed] = {}
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _release(address: int) -> None:
    """The deleter of a structure, which its consumer calls."""
    _alive.pop(address, None)


@ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
def _delete_unused_capsule(capsule: int) -> None:
    """The destructor of a capsule. A consumed capsule has another name, and its consumer calls the deleter."""
    if _is_valid(capsule, _NAME):
        _alive.pop(_pointer(capsule, _NAME), None)


_delete_unused = ctypes.cast(_delete_unused_capsule, ctypes.c_void_p)
