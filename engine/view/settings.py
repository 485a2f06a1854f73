"""Settings of a viewer: where it listens, and who may use it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from socket import gethostname
from urllib.parse import urlencode

from sgi.engine.errors import UserError
from sgi.engine.service.settings import LOOPBACK

ANY_HOST = ("0.0.0.0", "::", "")
"""Addresses that listen on all interfaces."""


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Access to a viewer.

    host: that it listens on. token: that requests must carry; None for none on loopback, and a new one elsewhere.
    command: how the viewer was started, which the page shows when the server is gone.

    Raises UserError for a token that is empty or has other than printable ASCII characters.
    """

    host: str = "127.0.0.1"
    token: str | None = None
    command: str = "sgi-engine view"
    hosts: frozenset[str] | None = field(init=False, default=None)
    """Names in the header `Host` that are answered; None for all, where other machines know this one by other names."""

    def __post_init__(self) -> None:
        if self.token is None and self.host not in LOOPBACK:
            object.__setattr__(self, "token", secrets.token_urlsafe(16))
        if self.token is not None and not (self.token and self.token.isprintable() and self.token.isascii()):
            raise UserError("`token`: must be printable ASCII characters, at least one")
        if self.host in LOOPBACK:
            object.__setattr__(self, "hosts", frozenset(LOOPBACK))

    def address(self, port: int) -> str:
        """The address of the page, with the token."""
        host = gethostname() if self.host in ANY_HOST else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{port}/" + (f"?{urlencode({'token': self.token})}" if self.token else "")
