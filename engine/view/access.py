"""Who may use a viewer: requests for its own addresses, from its own pages, with its token where it has one.

Without the check of `Host`, a page of another site could read the viewer by a name that it points to 127.0.0.1 (DNS
rebinding). Without the check of `Origin`, it could send requests, whose answers it cannot read.
"""

from __future__ import annotations

import hashlib
import hmac
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sgi.engine.view.settings import ViewSettings


class Access:
    """Answers requests of others with status 403, and those without the token with 401."""

    def __init__(self, app: ASGIApp, settings: ViewSettings) -> None:
        self._app = app
        self._hosts = settings.hosts
        self._token = settings.token
        # Browsers send cookies to all ports of a host: viewers with other tokens need other names.
        self._cookie = "" if self._token is None else f"sgi-{hashlib.sha256(self._token.encode()).hexdigest()[:12]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            answer = self._refusal(scope)
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._hosts is not None and _name(f"//{host}") not in self._hosts:
            return PlainTextResponse("open the address that `sgi-engine view` printed, not another name of it\n", 403)
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("a page of another site sent this request\n", 403)
        if self._token is None:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[-1]
        if self._is_token(given) and scope["path"] == "/":
            found = RedirectResponse("/", 303)
            found.set_cookie(self._cookie, self._token, httponly=True, samesite="lax")
            return found
        cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if any(map(self._is_token, (given, bearer, cookie.value if cookie else ""))):
            return None
        return PlainTextResponse("open the address with the token that `sgi-engine view` printed\n", 401)

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "replace"), (self._token or "").encode())


def _name(url: str) -> str:
    """The host of a URL in lower case, without the port; empty for none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
