"""DLPack arrays read by numpy, with host memory instead of GPU memory."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from sgi.engine.backends import device_array
from sgi.engine.backends.device_array import CUDA, DeviceArray

CPU = (1, 0)


@pytest.fixture
def values():
    return np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)


def test_dlpack_shares_the_memory_after_waiting_for_it(values):
    waited = []
    array = DeviceArray(values.shape, values.ctypes.data, 7, wait=lambda: waited.append(1), owner=values, device=CPU)
    read = np.from_dlpack(array)
    assert waited == [1]
    assert (read.shape, read.dtype, read.ctypes.data) == (values.shape, np.float32, values.ctypes.data)
    np.testing.assert_array_equal(read, values)


def test_the_owner_is_freed_after_the_consumer(values):
    array = DeviceArray(values.shape, values.ctypes.data, None, owner=values, device=CPU)
    read = np.from_dlpack(array)
    del array
    gc.collect()
    assert len(device_array._alive) == 1
    del read
    gc.collect()
    assert not device_array._alive


def test_an_unused_capsule_is_freed(values):
    array = DeviceArray(values.shape, values.ctypes.data, None, device=CPU)
    capsule = array.__dlpack__(stream=-1, max_version=(1, 0), dl_device=None, copy=None)
    assert len(device_array._alive) == 1
    del capsule
    gc.collect()
    assert not device_array._alive


def test_a_gpu_is_the_default(values):
    assert DeviceArray(values.shape, values.ctypes.data, None).__dlpack_device__() == CUDA
