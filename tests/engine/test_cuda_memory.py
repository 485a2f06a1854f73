"""Both implementations of device memory on a fake GPU, whose functions all exist in the real library."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest
from fake_cuda import FakePycuda, FakeRuntime
from fake_gpu import FakeGpu

from sgi.engine.backends import cuda_memory
from sgi.engine.backends.cuda_memory import CudaPythonMemory, OutOfDeviceMemoryError, PycudaMemory


@pytest.fixture(params=["cuda-python", "pycuda"])
def memory_on(request):
    """A function that opens an implementation on a fake GPU."""
    api, memory = (FakeRuntime, CudaPythonMemory) if request.param == "cuda-python" else (FakePycuda, PycudaMemory)
    return lambda gpu: memory(api(gpu))


@pytest.fixture
def gpu():
    return FakeGpu(capacity=1000, pinned_capacity=1000)


VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_a_round_trip(gpu, memory_on):
    memory = memory_on(gpu)
    address, there, back = memory.allocate(24), memory.pinned((2, 3)), memory.pinned((2, 3))
    after, done = memory.event(), memory.event()
    there[...] = VALUES
    memory.to_device(address, there)
    memory.record(after)
    memory.to_host([(back, address)], after, done)
    assert np.isnan(back).all()
    memory.wait(done)
    np.testing.assert_array_equal(back, VALUES)


def test_streams_and_scalars(gpu, memory_on):
    memory = memory_on(gpu)
    assert memory.stream in gpu.streams
    assert len(gpu.streams) == 2
    address, scalar = memory.allocate(4), memory.pinned(())
    scalar[...] = 0.5
    memory.to_device(address, scalar)
    memory.synchronize()
    assert gpu.floats(address)[0] == 0.5


def test_copies_to_the_host_do_not_wait_for_later_work(gpu, memory_on):
    memory = memory_on(gpu)
    address, there, back = memory.allocate(24), memory.pinned((2, 3)), memory.pinned((2, 3))
    after, done = memory.event(), memory.event()
    there[...] = VALUES
    memory.to_device(address, there)
    memory.record(after)
    gpu.enqueue(memory.stream, lambda: None, "the next batch")
    memory.to_host([(back, address)], after, done)
    memory.wait(done)
    assert gpu.done == ["copied in", "copied out"]
    memory.synchronize()
    assert gpu.done[-1] == "the next batch"


def test_an_event_that_was_never_recorded_is_set(gpu, memory_on):
    memory = memory_on(gpu)
    memory.wait(memory.event())


def test_memory_is_freed_and_its_exhaustion_is_an_error(gpu, memory_on):
    memory = memory_on(gpu)
    address, array = memory.allocate(900), memory.pinned((200,))
    with pytest.raises(OutOfDeviceMemoryError):
        memory.allocate(200)
    with pytest.raises(OutOfDeviceMemoryError):
        memory.pinned((100,))
    memory.free(address)
    part = array[:10]
    del array
    gc.collect()
    assert len(gpu.pinned) == 1
    del part
    gc.collect()
    assert not gpu.blocks
    assert not gpu.pinned
    memory.free(memory.allocate(1000))


def test_events_are_freed(gpu, memory_on):
    memory = memory_on(gpu)
    event = memory.event()
    assert len(gpu.events) == 1
    del event
    gc.collect()
    assert not gpu.events


def test_other_errors_have_a_message(gpu, memory_on):
    memory = memory_on(gpu)
    address = memory.allocate(4)
    gpu.fails.add("cudaFree")
    with pytest.raises(RuntimeError, match="^CUDA: "):
        memory.free(address)


def test_cuda_python_records_a_graph_and_replays_it(gpu):
    memory = CudaPythonMemory(FakeRuntime(gpu))
    replay = memory.capture(lambda: gpu.enqueue(memory.stream, lambda: None, "work"))
    assert replay is not None
    memory.synchronize()
    assert gpu.done == []
    for _ in range(2):
        replay()
    memory.synchronize()
    assert gpu.done == ["launch", "launch", "work", "work"]
    assert len(gpu.graphs) == 1
    del replay
    gc.collect()
    assert not gpu.graphs


def test_an_error_during_recording_ends_the_recording(gpu):
    memory = CudaPythonMemory(FakeRuntime(gpu))
    with pytest.raises(ZeroDivisionError):
        memory.capture(lambda: 1 // 0)
    assert gpu.recording is None


def test_pycuda_has_no_graphs_and_leaves_no_context_current(gpu):
    driver = FakePycuda(gpu)
    memory = PycudaMemory(driver)
    assert memory.capture(lambda: None) is None
    with pytest.raises(OutOfDeviceMemoryError):
        memory.allocate(2000)
    memory.wait(memory.event())
    # A current context at exit aborts the process: "The context stack was not empty upon module cleanup".
    assert driver.current == 0


def test_the_installed_one_is_opened_and_cuda_python_is_preferred(gpu, monkeypatch):
    packages = {"cuda", "cuda.bindings", "pycuda"}
    monkeypatch.setattr(cuda_memory, "find_spec", lambda name: SimpleNamespace() if name in packages else None)
    modules = {"cuda.bindings.runtime": FakeRuntime(gpu), "pycuda.driver": FakePycuda(gpu)}
    monkeypatch.setattr(cuda_memory, "import_module", modules.__getitem__)
    assert cuda_memory.open_memory().name == "cuda-python"
    packages.discard("cuda.bindings")
    assert cuda_memory.open_memory().name == "pycuda"


def test_all_functions_of_the_fake_exist_in_the_real_runtime():
    runtime = pytest.importorskip("cuda.bindings.runtime")
    for name in (n for n in dir(FakeRuntime) if n.startswith("cuda")):
        real, fake = getattr(runtime, name), getattr(FakeRuntime, name)
        for member in (n for n in getattr(fake, "__dict__", ()) if n.startswith("cuda")):
            assert hasattr(real, member)
