"""The NVIDIA GPUs of a machine, asked of the driver itself: no framework is loaded and none is needed."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True)
class Gpu:
    """A device: its name, compute capability such as (9, 0), and memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int


def find_gpus() -> list[Gpu]:
    """The GPUs that the driver gives, in its order; empty without a driver or a device."""
    return _gpus(_driver())


def driver_version() -> str | None:
    """The newest CUDA version the driver runs, such as 13.0; None without a driver."""
    cuda, version = _driver(), ctypes.c_int()
    if cuda is None or cuda.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def _gpus(cuda: ctypes.CDLL | None) -> list[Gpu]:
    count = ctypes.c_int()
    if cuda is None or cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    gpus = []
    for index in range(count.value):
        device, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
        numbers = [ctypes.c_int(), ctypes.c_int()]
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        for number, attribute in zip(numbers, (_CAPABILITY_MAJOR, _CAPABILITY_MINOR), strict=True):
            cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
        gpus.append(Gpu(name.value.decode(), (numbers[0].value, numbers[1].value), memory.value))
    return gpus
