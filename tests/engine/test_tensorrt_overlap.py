"""Overlapping batches on a fake GPU: their order, and the maps of each."""

from __future__ import annotations

import numpy as np
import pytest
from fake_gpu import FakeGpu
from fake_tensorrt import BYTES_A_ROW, ONCE, FakeContext, assert_depth, each_memory, latent, opened, values_of

from sgi.engine import Engine


@each_memory
def test_a_batch_is_computed_while_the_previous_one_is_copied(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, None, memory_of) as (backend, gpu):
        first = backend.start(latent(2), 1.0, types=["depth"])
        second = backend.start(latent(2), 0.5, types=["depth"])
        assert gpu.done == []  # no wait yet
        assert_depth(first(), latent(2))
        assert gpu.done == ONCE  # the first does not wait for the second
        assert_depth(second(), latent(2), 0.5)
        assert gpu.done == ONCE * 2


@each_memory
@pytest.mark.parametrize("eager", [False, True])
def test_maps_are_correct_in_any_order_of_reading(tmp_path, monkeypatch, memory_of, eager):
    with opened(tmp_path, monkeypatch, FakeGpu(eager=eager), memory_of) as (backend, gpu):
        psis = np.arange(1, 12) / 8
        maps = [backend.start(latent(2 + n % 2 * 3), psi) for n, psi in enumerate(psis)]
        assert len(gpu.blocks) == 2 * 2 * 4  # two sets of two batch sizes, for any number of batches
        for n in (10, 0, 5, 5, *range(11)):
            assert_depth(maps[n](), latent(2 + n % 2 * 3), psis[n])


def test_maps_can_be_read_after_closing(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, _):
        maps = backend.start(latent(2), 1.0)
    assert_depth(maps(), latent(2))


def test_parts_of_a_large_batch_overlap(tmp_path, monkeypatch):
    with opened(tmp_path, monkeypatch) as (backend, gpu):
        maps = backend.start(latent(16), 1.0, types=["depth"])
        assert gpu.done == []
        assert_depth(maps(), latent(16))


@each_memory
def test_engine_overlaps_passes_and_batches(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, None, memory_of) as (backend, gpu):
        engine = Engine(backend, batch=2)
        assert_depth(engine(z=latent(5), psi=0.5), latent(5), 0.5)
        assert gpu.done[:4] == ONCE
        gpu.done.clear()
        started = []

        def batches():
            for n in range(3):
                started.append(n)
                yield latent(2) * n

        seen = []
        for n, maps in enumerate(engine.stream(batches(), psi=1.0)):
            assert_depth(maps, latent(2) * n)
            seen.append(list(started))
        assert seen == [[0, 1], [0, 1, 2], [0, 1, 2]]  # one batch ahead


@each_memory
def test_inputs_are_not_overwritten_before_they_are_copied(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, None, memory_of) as (backend, gpu):
        seen, psis = [], (1.0, 0.5, 0.25)
        for psi in psis:
            arrays = backend.run_on_device(latent(2), psi, types=["depth"])
            gpu.enqueue(arrays["depth"].stream, lambda arrays=arrays: seen.append(values_of(gpu, arrays)))
        arrays["depth"].wait()
        for psi, maps in zip(psis, seen, strict=True):
            assert_depth(maps, latent(2), psi)
        backend.run_on_device(latent(2), 1.0)
        assert_depth(backend.run(latent(2), 0.125), latent(2), 0.125)


@each_memory
def test_without_memory_for_a_second_set_batches_do_not_overlap(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, FakeGpu(9 * BYTES_A_ROW), memory_of) as (backend, gpu):
        maps = [backend.start(latent(8), psi) for psi in (1.0, 0.5, 0.25)]
        assert len(gpu.blocks) == 4
        for psi, read in zip((1.0, 0.5, 0.25), maps, strict=True):
            assert_depth(read(), latent(8), psi)


def test_a_failed_batch_does_not_change_the_others(tmp_path, monkeypatch):
    class Failing(FakeContext):
        runs = 0

        def execute_async_v3(self, stream):
            Failing.runs += 1
            return Failing.runs != 2 and super().execute_async_v3(stream)

    with opened(tmp_path, monkeypatch, context=Failing) as (backend, _):
        first = backend.start(latent(2), 1.0)
        with pytest.raises(RuntimeError, match="TensorRT could not enqueue the batch"):
            backend.start(latent(2), 0.5)
        assert_depth(backend.run(latent(2), 0.25), latent(2), 0.25)
        assert_depth(first(), latent(2))


@each_memory
def test_an_error_of_the_gpu_is_raised_where_maps_are_read(tmp_path, monkeypatch, memory_of):
    with opened(tmp_path, monkeypatch, None, memory_of) as (backend, gpu):
        maps = backend.start(latent(2), 1.0)
        gpu.fails.add("cudaEventSynchronize")
        with pytest.raises(RuntimeError, match="CUDA: "):
            maps()
        gpu.fails.clear()
