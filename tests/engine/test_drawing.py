from __future__ import annotations

import threading

import pytest

from sgi.engine.drawing import AHEAD, draw_ahead


def test_batches_are_drawn_in_order_on_one_other_thread():
    threads = set()

    def draw(batch):
        threads.add(threading.current_thread())
        return -batch

    assert list(draw_ahead(draw, iter(range(9)))) == [-i for i in range(9)]
    assert len(threads) == 1
    assert threading.main_thread() not in threads
    assert list(draw_ahead(draw, [])) == []


def test_batches_are_read_on_the_calling_thread_and_only_a_few_ahead():
    read = []

    def batches():
        for i in range(20):
            assert threading.current_thread() is threading.main_thread()
            read.append(i)
            yield i

    drawn = draw_ahead(lambda i: i, batches())
    for i in range(5):
        assert next(drawn) == i
        assert len(read) == i + 1 + AHEAD
    before = threading.active_count()
    drawn.close()
    assert threading.active_count() == before - 1


def test_an_exception_of_the_batches_comes_after_what_was_read_before_it():
    def batches():
        yield 1
        yield 2
        raise OSError("no space")

    drawn = draw_ahead(lambda i: i, batches())
    assert [next(drawn), next(drawn)] == [1, 2]
    with pytest.raises(OSError, match="no space"):
        next(drawn)


def test_an_exception_of_a_batch_comes_at_that_batch():
    drawn = draw_ahead(lambda i: 1 // i, [1, 1, 0, 1])
    assert [next(drawn), next(drawn)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(drawn)
