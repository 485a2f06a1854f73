"""The order in which requests of several tabs are computed by one engine.

Each tab has at most one request that waits. A newer one takes its place, so that a slider that is dragged shows its
last position and not all before it. Tabs that wait are served in rotation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

MOST_TABS = 64
"""Most tabs that wait at the same time."""


class SupersededError(Exception):
    """A newer request of the same tab took the place of this one."""


class CrowdedError(Exception):
    """Too many tabs wait."""


class Turns:
    """The requests that wait for one worker thread. All methods run on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Callable[[], Any], asyncio.Future[Any]]] = {}
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "sgi-view")

    async def ask(self, tab: str, work: Callable[[], Any]) -> Any:
        """The result of `work` on the worker thread, when it is the turn of the tab.

        Raises what `work` raises, SupersededError, and CrowdedError where too many tabs wait.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        before = self._waiting.get(tab)
        if before is not None:
            if not before[1].done():
                before[1].set_exception(SupersededError())
        elif len(self._waiting) >= MOST_TABS:
            raise CrowdedError
        self._waiting[tab] = work, future  # keeps the place of the tab in the rotation
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Compute requests until the task is cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                if not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                tab = next(iter(self._waiting))
                work, future = self._waiting.pop(tab)
                if future.done():  # its client left
                    continue
                try:
                    result = await loop.run_in_executor(self._thread, work)
                except Exception as error:
                    with suppress(asyncio.InvalidStateError):
                        future.set_exception(error)
                else:
                    with suppress(asyncio.InvalidStateError):
                        future.set_result(result)
        finally:
            for _, future in self._waiting.values():
                future.cancel()
            self._thread.shutdown(wait=False, cancel_futures=True)
