"""Turns of tabs in front of one worker."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sgi.engine.view.turns import MOST_TABS, CrowdedError, SupersededError, Turns


def run(asking):
    """Run a coroutine function of `Turns` beside its worker."""

    async def main():
        turns = Turns()
        worker = asyncio.create_task(turns.run())
        try:
            return await asyncio.wait_for(asking(turns), 30)
        finally:
            worker.cancel()

    with ThreadPoolExecutor(1) as thread:  # that of the tests has the event loop of the browser
        return thread.submit(asyncio.run, main()).result()


def test_a_tab_that_asks_all_the_time_does_not_keep_others_waiting():
    order = []

    def work(name):
        time.sleep(0.005)
        order.append(name)

    async def asking(turns):
        async def tab(name, count):
            for _ in range(count):
                await turns.ask(name, lambda: work(name))

        await asyncio.gather(tab("a", 6), tab("b", 6), tab("c", 2))

    run(asking)
    assert order[:6] == ["a", "b", "c"] * 2
    assert order[6:] == ["a", "b"] * 4


def test_only_the_newest_request_of_a_tab_waits():
    done = []

    async def asking(turns):
        first = asyncio.create_task(turns.ask("a", lambda: time.sleep(0.1)))
        await asyncio.sleep(0.02)  # the worker has the first
        later = [asyncio.create_task(turns.ask("a", lambda i=i: done.append(i))) for i in range(5)]
        found = await asyncio.gather(first, *later, return_exceptions=True)
        assert [type(item) for item in found] == [type(None), *[SupersededError] * 4, type(None)]

    run(asking)
    assert done == [4]


def test_errors_reach_who_asked_and_the_worker_goes_on():
    def fail():
        raise ValueError("broken")

    async def asking(turns):
        with pytest.raises(ValueError, match="broken"):
            await turns.ask("a", fail)
        gone = asyncio.create_task(turns.ask("b", lambda: 1))
        await asyncio.sleep(0)
        gone.cancel()  # its client left
        return await turns.ask("c", lambda: 2)

    assert run(asking) == 2


def test_too_many_tabs_are_refused():
    async def asking(turns):
        first = asyncio.create_task(turns.ask("first", lambda: time.sleep(0.2)))
        await asyncio.sleep(0.02)
        waiting = [asyncio.create_task(turns.ask(str(i), lambda: None)) for i in range(MOST_TABS)]
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError):
            await turns.ask("one more", lambda: None)
        await asyncio.gather(first, *waiting)

    run(asking)
