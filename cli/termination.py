"""SIGTERM ends a command as Ctrl-C does, so that schedulers and containers stop a run without loss of finished work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from sgi.cli import INTERRUPTED


class Ending:
    """What ended a command. exit_code: 128 plus the number of the signal, 130 for Ctrl-C and 143 for SIGTERM."""

    exit_code = INTERRUPTED

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt in the main thread, as Ctrl-C does."""
        self.exit_code = 128 + number
        raise KeyboardInterrupt


@contextmanager
def termination() -> Iterator[Ending]:
    """A context in which SIGTERM raises KeyboardInterrupt, except where the caller of the process ignores it."""
    ending = Ending()
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        yield ending
        return
    before = signal.signal(signal.SIGTERM, ending)
    try:
        yield ending
    finally:
        signal.signal(signal.SIGTERM, before)
