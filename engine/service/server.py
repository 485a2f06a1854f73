"""The listening socket, opened before the model so that a port in use costs no time."""

from __future__ import annotations

import socket

from sgi.engine.errors import UserError

_BACKLOG = 1024


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one. Raises UserError where the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio switches Nagle's algorithm off only where the protocol is given; with it a response waits for 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(_BACKLOG)  # early clients wait while the model loads
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise UserError(
            f"`host={host}` `port={port}`: cannot listen there ({error.strerror}); choose another"
        ) from None
    return listener
