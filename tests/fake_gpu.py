"""A GPU in host memory, to test asynchronous code.

Work that is enqueued on a stream runs when something waits for it, as late as possible, so that a missing wait gives
missing results and an early overwrite gives wrong ones. With `eager`, work runs when it is enqueued.
"""

from __future__ import annotations

import ctypes
from collections import deque

import numpy as np


class Mark:
    """A position in a stream, for events."""

    def __init__(self, stream):
        self.stream, self.reached = stream, False


class FakeGpu:
    """Blocks of memory by address, streams by handle; `done` lists what has run so far."""

    def __init__(self, capacity=1 << 30, pinned_capacity=1 << 30, eager=False):
        self.capacity, self.pinned_capacity, self.eager = capacity, pinned_capacity, eager
        self.blocks: dict[int, ctypes.Array] = {}
        self.pinned: dict[int, ctypes.Array] = {}
        self.streams: dict[int, deque] = {}
        self.events: dict[int, Mark | None] = {}
        self.graphs: dict[int, list] = {}
        self.recording: list | None = None
        self.done: list[str] = []
        self.fails: set[str] = set()  # names of calls that return an error
        self._handles = 0

    def handle(self):
        self._handles += 1
        return self._handles

    def allocate(self, size, host=False):
        """Address of a new block filled with NaN, None if there is no memory left."""
        blocks, capacity = (self.pinned, self.pinned_capacity) if host else (self.blocks, self.capacity)
        if sum(map(len, blocks.values())) + size > capacity:
            return None
        block = (ctypes.c_char * size)(*b"\xff" * size)
        blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, address, host=False):
        """Free a block after all enqueued work, as CUDA does."""
        for stream in self.streams:
            self.finish(stream)
        del (self.pinned if host else self.blocks)[address]

    def floats(self, address):
        """A block of the device as float32."""
        return np.frombuffer(memoryview(self.blocks[address]), np.float32)

    def copy(self, target, source, size):
        """Copy between allocated blocks."""
        for address in (target, source):
            block = self.blocks.get(address) or self.pinned.get(address)
            assert block is not None, "a copy into or out of memory that has been freed"
            assert size <= len(block)
        ctypes.memmove(target, source, size)

    def stream(self):
        handle = self.handle()
        self.streams[handle] = deque()
        return handle

    def enqueue(self, stream, work, words=None):
        def item():
            work()
            if words:
                self.done.append(words)

        if self.recording is not None:
            self.recording.append((stream, work, words))
            return
        self.streams[stream].append(item)
        if self.eager:
            self.finish(stream)

    def record(self, event, stream):
        mark = Mark(stream)
        self.events[event] = mark
        self.enqueue(stream, lambda: setattr(mark, "reached", True))

    def wait_in(self, stream, event):
        mark = self.events[event]
        self.enqueue(stream, lambda: self.reach(mark))

    def reach(self, mark):
        while mark is not None and not mark.reached:
            self.streams[mark.stream].popleft()()

    def finish(self, stream):
        while self.streams[stream]:
            self.streams[stream].popleft()()

    def launch(self, graph):
        self.done.append("launch")
        for stream, work, words in self.graphs[graph]:
            self.enqueue(stream, work, words)
