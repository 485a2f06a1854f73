"""Requests gathered into passes: those that arrive while a pass runs form the next one together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sgi.engine.api import Engine
from sgi.engine.service.settings import ServiceSettings

Maps = dict[str, np.ndarray]


class BusyError(Exception):
    """The queue is full, or the service is stopping."""


@dataclass(eq=False)
class Request:
    """One request that waits: what it asks for, and the future of its maps {type: [N, C, R, R] float32}.

    label: [c_dim] float32 of all its images; None for a model without classes.
    """

    seeds: Sequence[int]
    types: tuple[str, ...]
    psi: float
    label: np.ndarray | None
    maps: asyncio.Future[Maps]

    def shares_a_pass_with(self, other: Request) -> bool:
        """Whether both can be rows of one pass: truncation and outputs hold for a pass as a whole."""
        return self.psi == other.psi and self.types == other.types


class Batcher:
    """The queue in front of one engine. All methods run on the event loop; the engine runs on another thread.

    images, passes, rejected: counts since the start. waiting: images in the queue.
    """

    def __init__(self, engine: Engine, settings: ServiceSettings) -> None:
        self.images = self.passes = self.rejected = self.waiting = 0
        self.stopping = False
        self._engine = engine
        self._settings = settings
        self._queue: deque[Request] = deque()
        self._arrived = asyncio.Event()

    async def generate(
        self, seeds: Sequence[int], types: tuple[str, ...], psi: float, label: np.ndarray | None
    ) -> Maps:
        """The maps of seeds, {type: [N, C, R, R] float32}; raises BusyError, and what `Engine.__call__` raises."""
        if self.stopping or self.waiting + len(seeds) > self._settings.queue:
            self.rejected += 1
            raise BusyError
        request = Request(seeds, types, psi, label, asyncio.get_running_loop().create_future())
        self._queue.append(request)
        self.waiting += len(seeds)
        self._arrived.set()
        return await request.maps

    async def work(self) -> None:
        """Run passes until `stop`; requests in the queue at that time are still served."""
        while True:
            if not self._queue:
                if self.stopping:
                    return
                self._arrived.clear()
                await self._arrived.wait()
                continue
            requests = self._next()
            if not requests:
                continue
            try:
                maps = await asyncio.to_thread(self._run, requests)
            except Exception as error:
                for request in requests:
                    if not request.maps.done():  # done where its client left
                        request.maps.set_exception(error)
                continue
            start = 0
            for request in requests:
                stop = start + len(request.seeds)
                if not request.maps.done():
                    request.maps.set_result({name: stack[start:stop] for name, stack in maps.items()})
                start = stop

    def stop(self) -> None:
        """Reject new requests and end `work` when the queue is empty."""
        self.stopping = True
        self._arrived.set()

    def _next(self) -> list[Request]:
        """Take the oldest request and those that can share its pass: at most `batch` images, or one larger request."""
        chosen: list[Request] = []
        left: deque[Request] = deque()
        images = 0
        for request in self._queue:
            fits = not chosen or images + len(request.seeds) <= self._settings.batch
            if request.maps.done():
                self.waiting -= len(request.seeds)
            elif fits and (not chosen or request.shares_a_pass_with(chosen[0])):
                chosen.append(request)
                images += len(request.seeds)
            else:
                left.append(request)
        self._queue = left
        self.waiting -= images
        self.images += images
        self.passes += bool(chosen)
        return chosen

    def _run(self, requests: list[Request]) -> Maps:
        first = requests[0]
        seeds = [seed for request in requests for seed in request.seeds]
        labels = [request.label for request in requests for _ in request.seeds if request.label is not None]
        return self._engine(seeds, psi=first.psi, types=first.types, labels=np.stack(labels) if labels else None)
