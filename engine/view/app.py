"""The HTTP interface of a viewer. Errors are one line of text with status 4xx or 5xx, and the server goes on.

docs/reference/view.md lists the endpoints.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sgi.engine.errors import UserError, one_line
from sgi.engine.live import LATENTS_KEPT, LiveModel, Screen
from sgi.engine.view import run_routes
from sgi.engine.view.access import Access
from sgi.engine.view.assets import MEDIA_TYPES, PAGE, assets, content_security
from sgi.engine.view.commands import Commands, Light, parse_request
from sgi.engine.view.description import describe
from sgi.engine.view.latents import MOST_BYTES, LoadedLatents, latents_file, load_latents
from sgi.engine.view.opening import Viewed
from sgi.engine.view.saving import saved_page
from sgi.engine.view.settings import ViewSettings
from sgi.engine.view.turns import CrowdedError, SupersededError, Turns
from sgi.engine.view.wire import MEDIA_TYPE, encode_body

MOST_JSON_BYTES = 1 << 16
_HEADERS = {
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class EngineError(Exception):
    """The engine failed; the text says what and what to do."""


def create_app(viewed: Viewed | LiveModel, settings: ViewSettings, title: str = "") -> Starlette:
    """An ASGI application that shows an open model or a run folder; the caller closes them afterwards.

    viewed: also an open model alone, with a title for the head of the page.
    """
    if isinstance(viewed, LiveModel):
        viewed = Viewed(live=viewed, title=title)
    viewer = _Viewer(viewed, settings)
    app = Starlette(
        routes=[
            Route("/", viewer.page),
            Route("/page/{name:path}", viewer.asset),
            Route("/api/health", viewer.health),
            Route("/api/model", viewer.model),
            Route("/api/maps", viewer.maps, methods=["POST"]),
            Route("/api/commands", viewer.commands, methods=["POST"]),
            Route("/api/latents", viewer.load_latents, methods=["POST"]),
            Route("/api/latents/save", viewer.save_latents, methods=["POST"]),
            Route("/api/page", viewer.save_page, methods=["POST"]),
            Route("/photo.png", viewer.photo),
            Route("/photo/{row:int}.png", viewer.photo),
            *([] if viewed.folder is None else run_routes.routes(viewed.folder)),
        ],
        middleware=[Middleware(Access, settings=settings)],
        exception_handlers={
            UserError: _refusal(400),
            EngineError: _refusal(503),
            SupersededError: _refusal(409, "superseded"),
            CrowdedError: _refusal(503, "too many pages ask at the same time; close some"),
            HTTPException: _http_error,
            ClientDisconnect: _refusal(400, "the client left"),
        },
        lifespan=viewer.lifespan,
    )
    app.router.redirect_slashes = False  # a redirection would contain the host that the request states
    return app


class _Viewer:
    """The endpoints of a model."""

    def __init__(self, viewed: Viewed, settings: ViewSettings) -> None:
        self._viewed = viewed
        self._settings = settings
        self._turns = Turns()
        self._assets = assets()
        self._loaded: dict[str, LoadedLatents] = {}
        if viewed.latents is not None:
            self._loaded[viewed.latents.id] = viewed.latents

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Run the worker while the application runs."""
        worker = asyncio.create_task(self._turns.run())
        yield
        worker.cancel()

    async def page(self, request: Request) -> Response:
        """The page."""
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={**_HEADERS, "Content-Security-Policy": content_security(text)})

    async def asset(self, request: Request) -> Response:
        """A file of the page."""
        path = self._assets.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, media_type=MEDIA_TYPES[path.suffix], headers=_HEADERS)

    async def health(self, request: Request) -> Response:
        """200 while the server runs."""
        return JSONResponse({"status": "ok"}, headers=_HEADERS)

    async def model(self, request: Request) -> Response:
        """The model: types, ranges, which controls there are."""
        return JSONResponse(describe(self._viewed, self._settings), headers=_HEADERS)

    async def maps(self, request: Request) -> Response:
        """Maps of a screen."""
        screen = Screen.from_json(await body_of(request, MOST_JSON_BYTES))
        live = self._opened()
        body = await self._turns.ask(tab_of(request), lambda: _computed(live, screen))
        return Response(body, media_type=MEDIA_TYPE, headers=_HEADERS)

    async def commands(self, request: Request) -> Response:
        """The command and the Python lines that make the maps of a screen again."""
        screen, light = parse_request(parse_json(await body_of(request, MOST_JSON_BYTES)))
        commands = Commands(self._opened(), self._viewed.source, self._loaded)
        return JSONResponse(await asyncio.to_thread(commands.of, screen, light), headers=_HEADERS)

    async def load_latents(self, request: Request) -> Response:
        """Keep the latents of a file for screens."""
        live = self._opened()
        body = await body_of(request, MOST_BYTES)
        found = await asyncio.to_thread(load_latents, live, request.query_params.get("name", ""), body)
        self._loaded.pop(found.id, None)
        self._loaded[found.id] = found
        while len(self._loaded) > LATENTS_KEPT:
            del self._loaded[next(iter(self._loaded))]
        return JSONResponse(found.to_dict(), headers=_HEADERS)

    async def save_latents(self, request: Request) -> Response:
        """A file of the w+ of a screen."""
        screen = Screen.from_json(await body_of(request, MOST_JSON_BYTES))
        body = await asyncio.to_thread(latents_file, self._opened(), screen)
        return Response(body, media_type=MEDIA_TYPE, headers=_HEADERS)

    async def save_page(self, request: Request) -> Response:
        """A static page of a screen and a light, which opens without the viewer."""
        screen, light = parse_request(parse_json(await body_of(request, MOST_JSON_BYTES)))
        live = self._opened()
        tab = f"{tab_of(request)} page"  # a change of the screen does not take the place of it
        body = await self._turns.ask(tab, lambda: _saved(self._viewed, live, screen, light))
        return Response(body, media_type=MEDIA_TYPE, headers=_HEADERS)

    async def photo(self, request: Request) -> Response:
        """The picture of which the first latents were found."""
        pictures = () if self._viewed.latents is None else self._viewed.latents.pictures
        row = request.path_params.get("row", 0)
        if row >= len(pictures) or not pictures[row].is_file():
            raise HTTPException(404, "there is no picture of these latents")
        return FileResponse(pictures[row], media_type="image/png", headers=_HEADERS)

    def _opened(self) -> LiveModel:
        if self._viewed.live is None:
            raise UserError(f"`screen`: {self._viewed.no_live}")
        return self._viewed.live


def tab_of(request: Request) -> str:
    """The page that sent a request; of programs without the header each connection is one."""
    client = request.client or ("", 0)
    return request.headers.get("x-sgi-tab", "")[:64] or f"{client[0]} {client[1]}"


async def body_of(request: Request, limit: int) -> bytes:
    """The body of a request; raises HTTPException, status 413, for more than `limit` bytes.

    A request that states such a length is answered before its body is read.
    """
    refusal = HTTPException(413, f"the request has more than {limit} bytes, which is the most")
    stated = request.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > limit:
        raise refusal
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise refusal
    return bytes(body)


def _computed(live: LiveModel, screen: Screen) -> bytes:
    """The body for a screen; raises UserError for a wrong screen, EngineError for a failure of the engine."""
    planned = live.plan(screen)
    with _failures():
        start = time.perf_counter()
        maps = live.compute([planned])[0]
        return encode_body(live.types, maps, time.perf_counter() - start)


def _saved(viewed: Viewed, live: LiveModel, screen: Screen, light: Light | None) -> bytes:
    """A static page of a screen; raises as `_computed` does."""
    live.plan(screen)
    with _failures():
        return saved_page(viewed, live, screen, light)


@contextmanager
def _failures() -> Iterator[None]:
    """Any exception becomes an EngineError: the values were checked before."""
    try:
        yield
    except Exception as error:
        what = one_line(str(error) or type(error).__name__, 300)
        raise EngineError(f"the engine failed ({what}); change the values, or start the viewer again") from error


def _refusal(status: int, text: str | None = None) -> Callable[[Request, Exception], Any]:
    async def answer(request: Request, error: Exception) -> Response:
        return PlainTextResponse(f"{text or error}\n", status, _HEADERS)

    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{one_line(error.detail)}\n", error.status_code, {**_HEADERS, **(error.headers or {})})


def parse_json(body: bytes) -> Any:
    """Parsed JSON of a body; raises UserError for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"the request is not JSON: {error}") from None
