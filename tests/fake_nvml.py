"""A CUDA driver and NVML without a GPU, for tests of `sgi.engine.gpu`."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

from sgi.engine import gpu
from sgi.engine.gpu import Gpu


def uuid_of(index):
    """UUID of a fake GPU: its index in each of 16 bytes."""
    digits = bytes([index] * 16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


class FakeDriver:
    """libcuda with the devices `visible`, numbers of `FakeNvml`'s cards; cuInit returns `error`."""

    def __init__(self, visible=(0,), error=0):
        self.visible, self.error = visible, error

    def cuInit(self, flags):
        return self.error

    def cuDeviceGetCount(self, count):
        count._obj.value = len(self.visible)
        return 0

    def cuDeviceGet(self, device, index):
        device._obj.value = index
        return 0

    def cuDeviceGetUuid_v2(self, uuid, device):
        uuid.raw = bytes([self.visible[device.value]] * 16)
        return 0


class FakeNvml(ModuleType):
    """The module pynvml with the cards `gpus`; those numbered in `mig` are MIG parts of the first card."""

    class NVMLError(Exception):
        pass

    class NVMLError_NotFound(NVMLError):
        pass

    def __init__(self, gpus: list[Gpu], mig=(), fails=False):
        super().__init__("pynvml")
        self.gpus, self.mig, self.fails, self.open = gpus, mig, fails, 0

    def nvmlInit(self):
        if self.fails:
            raise self.NVMLError("Driver/library version mismatch")
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlSystemGetDriverVersion(self):
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion_v2(self):
        return 13000

    def nvmlDeviceGetHandleByUUID(self, uuid):
        for index in range(len(self.gpus)):
            if uuid == ("MIG-" if index in self.mig else "GPU-") + uuid_of(index):
                return index
        raise self.NVMLError_NotFound("Not Found")

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle):
        assert handle in self.mig
        return 0

    def nvmlDeviceGetName(self, handle):
        return self.gpus[handle].name

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(total=self.gpus[handle].memory)

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        assert handle not in self.mig
        return self.gpus[handle].capability


def install(monkeypatch, driver: FakeDriver | None, nvml: FakeNvml | None) -> None:
    """Replace the CUDA driver and the module pynvml of this process; None: not installed."""
    monkeypatch.setattr(gpu, "_cuda", lambda: driver)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
