"""A count of the calls that use a resource, so that closing it waits for them."""

from __future__ import annotations

from threading import Condition
from types import TracebackType

from sgi.engine.errors import UserError


class InFlight:
    """Entered by each call that uses the resource, from any thread; `close` waits until none is inside.

    Entering after `close` raises UserError with `message`.
    """

    def __init__(self, message: str) -> None:
        self._message = message
        self._changed = Condition()
        self._count = 0
        self._closed = False

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise UserError(self._message)
            self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def close(self) -> bool:
        """Refuse new calls and wait for those inside; returns False where it was closed before."""
        with self._changed:
            first = not self._closed
            self._closed = True
            self._changed.wait_for(lambda: self._count == 0)
            return first
