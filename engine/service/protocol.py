"""HTTP over one connection: uvicorn's protocol with a bound of the head of a request.

The parser httptools has no bound: a head that never ends would take memory until the process is killed, and time in the
square of its length.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD_BYTES = 1 << 18
"""Bytes of a request before its body; asyncio and uvloop hand over up to 256 KiB at a time."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers status 400 and closes the connection where the head of a request has more than MOST_HEAD_BYTES."""

    _in_head = True
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Count bytes that arrive before the end of a head."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.send_400_response("the head of the request is too long")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """Stop counting: a body follows, which is read no further than the service asks."""
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Count the next head."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_complete()
