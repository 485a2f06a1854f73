"""The NVIDIA GPUs that CUDA programs of this process can use, without loading a framework.

How many there are comes from the CUDA driver itself, because the choice of a device must not depend on an optional
package. Their properties come from NVML through nvidia-ml-py, which the extras for GPUs install.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sgi.engine.errors import UserError

_UUID_BYTES = 16


@dataclass(frozen=True)
class Gpu:
    """A device, or a MIG part of one: name, compute capability such as (9, 0), and memory in bytes."""

    name: str
    capability: tuple[int, int]
    memory: int


@dataclass(frozen=True)
class Driver:
    """The NVIDIA driver: its version such as 580.65.06, and the newest CUDA version that it runs, such as 13.0."""

    version: str
    cuda: str


def has_gpu() -> bool:
    """Whether CUDA programs of this process can use a GPU; CUDA_VISIBLE_DEVICES is respected."""
    return bool(_uuids())


def find_gpus() -> list[Gpu]:
    """The GPUs that CUDA programs of this process can use, in CUDA's order; empty without a driver or a device.

    Raises UserError if there is a GPU, and nvidia-ml-py is not installed or NVML fails.
    """
    # NVML has another order and ignores CUDA_VISIBLE_DEVICES, so each GPU is looked up by the UUID that CUDA gives.
    uuids = _uuids()
    if not uuids:
        return []
    with _nvml() as nvml:
        return [_gpu(nvml, uuid) for uuid in uuids]


def find_driver() -> Driver | None:
    """The NVIDIA driver, None without one; raises UserError as `find_gpus`."""
    if _cuda() is None:
        return None
    with _nvml() as nvml:
        cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(nvml.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}")


def _gpu(nvml: Any, uuid: str) -> Gpu:
    try:
        handle = card = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
    except nvml.NVMLError_NotFound:
        handle = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}")
        card = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    capability = nvml.nvmlDeviceGetCudaComputeCapability(card)
    return Gpu(nvml.nvmlDeviceGetName(handle), tuple(capability), nvml.nvmlDeviceGetMemoryInfo(handle).total)


@contextmanager
def _nvml() -> Iterator[Any]:
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        raise UserError(
            "an NVIDIA driver is here, and nvidia-ml-py, which reads the GPU's properties, is not installed: "
            "pip install nvidia-ml-py"
        ) from None
    try:
        nvml.nvmlInit()
        try:
            yield nvml
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise UserError(
            f"NVML cannot read the GPU's properties ({error}); check the driver with `nvidia-smi`"
        ) from None


def _cuda() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def _uuids() -> list[str]:
    """UUIDs of the GPUs in CUDA's order, without the prefix GPU- or MIG-."""
    cuda, count = _cuda(), ctypes.c_int()
    if cuda is None or cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        device, uuid = ctypes.c_int(), ctypes.create_string_buffer(_UUID_BYTES)
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetUuid_v2(uuid, device)
        digits = uuid.raw.hex()
        found.append("-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])))
    return found
