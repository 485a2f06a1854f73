"""Copies to the host beside computation, on a queue that does everything as late as possible."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch

from sgi.engine.backends.triton import host_copies
from sgi.engine.backends.triton.host_copies import CudaQueue, HostCopies


class LateQueue:
    """Two streams whose work runs when something waits for it; `log` has what ran and what was waited for."""

    def __init__(self):
        self.compute: deque = deque()
        self.side: deque = deque()
        self.computed = self.copied = self.enqueued = self.copies = 0
        self.log: list[str] = []

    def enqueue(self, work):
        """Computation on the device, such as the replay of a graph."""
        self.compute.append(work)
        self.enqueued += 1

    def keep(self, output):
        kept = torch.full_like(output, -1)
        self.enqueue(lambda: kept.copy_(output))
        return kept

    def host(self, like):
        return torch.full_like(like, -2)

    def to_host(self, pairs):
        after = self.enqueued

        def copy():
            while self.computed < after:
                self.compute.popleft()()
                self.computed += 1
            for host, device in pairs:
                host.copy_(device)

        self.side.append(copy)
        self.copies += 1
        number = self.copies

        def synchronize():
            self.log.append(f"wait {number}")
            while self.copied < number:
                self.side.popleft()()
                self.copied += 1

        return SimpleNamespace(synchronize=synchronize)


def starts(copies, queue, count):
    """Batches 0, 1, ... whose graph writes its number into the same output."""
    output = torch.zeros(2, 3)
    finishes = []
    for i in range(count):
        queue.enqueue(lambda i=i: output.fill_(i))
        finishes.append(copies.start({"depth": output, "sums": output[0]}))
    return finishes


def test_every_batch_has_arrays_of_its_own_although_the_output_is_overwritten():
    queue = LateQueue()
    finishes = starts(HostCopies(queue), queue, 5)
    maps = [finish() for finish in finishes]
    for i, found in enumerate(maps):
        np.testing.assert_array_equal(found["depth"], np.full((2, 3), i, np.float32))
        np.testing.assert_array_equal(found["sums"], np.full(3, i, np.float32))


def test_a_third_batch_waits_for_the_first_and_not_for_the_second():
    queue = LateQueue()
    copies = HostCopies(queue)
    starts(copies, queue, 2)
    assert queue.log == []
    starts(copies, queue, 1)
    assert queue.log == ["wait 1"]
    starts(copies, queue, 1)
    assert queue.log == ["wait 1", "wait 2"]


def test_page_locked_memory_that_arrays_keep_is_bounded(monkeypatch):
    queue = LateQueue()
    copies = HostCopies(queue)
    size = 4 * (6 + 3)
    monkeypatch.setattr(host_copies, "PINNED_BYTES", 2 * size)
    kept = [finish() for _ in range(4) for finish in starts(copies, queue, 1)]
    owned = [maps["depth"].flags.owndata for maps in kept]
    assert owned == [False, False, True, True]  # the last two are copies in ordinary memory
    del kept
    (finish,) = starts(copies, queue, 1)
    assert not finish()["depth"].flags.owndata


def test_a_view_of_an_array_keeps_its_memory():
    queue = LateQueue()
    copies = HostCopies(queue)
    row = next(finish()["depth"][1] for finish in starts(copies, queue, 1))
    assert copies._held() == 4 * 6
    np.testing.assert_array_equal(row, np.zeros(3, np.float32))
    del row
    assert copies._held() == 0


def test_the_cuda_queue_copies_on_another_stream_after_the_computation(monkeypatch):
    log: list[str] = []

    class Stream:
        def wait_stream(self, other):
            log.append(f"side waits for {other}")

        def __str__(self):
            return "side"

    @contextmanager
    def stream(given):
        log.append(f"enter {given}")
        yield
        log.append(f"leave {given}")

    class Event:
        def record(self, on):
            log.append(f"record on {on}")

        def synchronize(self):
            log.append("synchronize")

    class Memory:
        def copy_(self, source, non_blocking):
            assert non_blocking
            log.append("copy")

        def record_stream(self, on):
            log.append(f"used on {on}")

    cuda = SimpleNamespace(Stream=Stream, Event=Event, stream=stream, current_stream=lambda: "compute")
    monkeypatch.setattr(host_copies.torch, "cuda", cuda)
    event = CudaQueue().to_host([(Memory(), Memory())])  # type: ignore[list-item]
    assert log == ["side waits for compute", "enter side", "copy", "used on side", "record on side", "leave side"]
    event.synchronize()
    assert log[-1] == "synchronize"
