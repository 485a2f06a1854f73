"""Settings of the HTTP service."""

from __future__ import annotations

from dataclasses import dataclass

from sgi.engine.errors import UserError

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Limits and access of a service.

    batch: most images in one pass of the engine. queue: most images that wait; a request beyond it gets 503.
    request_seeds: most seeds of one request. token: bearer token that a request must carry, None for open access.
    types: those that are served, None for all of the model.

    With 2 * batch clients the passes are full: one half is computed while the other half receives its maps.

    Raises UserError for values out of range.
    """

    batch: int = 8
    queue: int = 256
    request_seeds: int = 64
    token: str | None = None
    types: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("batch", "queue", "request_seeds"):
            if getattr(self, name) < 1:
                raise UserError(f"`{name}={getattr(self, name)}`: must be at least 1")
        for name in ("request_seeds", "batch"):
            if self.queue < getattr(self, name):
                raise UserError(f"`queue={self.queue}`: must be at least `{name}={getattr(self, name)}`")
        if self.token is not None and not (self.token and self.token.isprintable() and self.token.isascii()):
            raise UserError("`token`: must be printable ASCII characters, at least one")

    def check_host(self, host: str) -> None:
        """Raise UserError for a host that other machines reach, where no token is set."""
        if host not in LOOPBACK and self.token is None:
            raise UserError(f"`host={host}`: other machines reach it; set a `token`, or use 127.0.0.1")
