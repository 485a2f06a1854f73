"""The HTTP interface: GET /maps, /model, /healthz and /metrics. Errors are one line of text with status 4xx or 5xx."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.service.batcher import Batcher, BusyError
from sgi.engine.service.encoding import MEDIA_TYPES, encode_maps
from sgi.engine.service.parameters import Parameters
from sgi.engine.service.settings import ServiceSettings

OPEN_PATHS = ("/healthz",)
"""Paths that need no token: a load balancer has none."""
_LATENCY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
# Maps up to this size are encoded on the event loop in less than 0.5 ms; a change of threads costs about as much.
_SMALL_BYTES = 1 << 17


def create_app(engine: Engine, settings: ServiceSettings | None = None) -> Starlette:
    """An ASGI application that serves the maps of one engine; the caller closes the engine afterwards.

    settings: limits and token. Serve it with one process (`uvicorn.run(app)`): the queue is in its memory.
    Raises UserError for an engine that takes w or w+.
    """
    if engine.artifact.input != "z":
        raise UserError(f"the model takes {engine.artifact.input}, and requests have seeds; serve a model that takes z")
    settings = settings or ServiceSettings()
    service = _Service(engine, settings)
    return Starlette(
        routes=[
            Route("/maps", service.maps),
            Route("/model", service.model),
            Route("/healthz", service.healthz),
            Route("/metrics", service.metrics),
        ],
        middleware=[] if settings.token is None else [Middleware(_TokenCheck, token=settings.token)],
        exception_handlers={UserError: _user_error, HTTPException: _http_error, BusyError: _busy},
        lifespan=service.lifespan,
    )


class _Service:
    """The endpoints, with the engine's queue."""

    def __init__(self, engine: Engine, settings: ServiceSettings) -> None:
        self._engine = engine
        self._request_seeds = settings.request_seeds
        self._served = engine.artifact.choose_types(settings.types)
        self._batcher = Batcher(engine, settings)
        self._metrics = _Metrics(self._batcher)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Run the queue while the application runs."""
        worker = asyncio.create_task(self._batcher.work())
        yield
        self._batcher.stop()
        await worker

    async def maps(self, request: Request) -> Response:
        """Maps of seeds."""
        artifact = self._engine.artifact
        wanted = Parameters.parse(request.query_params.multi_items(), artifact, self._served, self._request_seeds)
        with self._metrics.latency.time():
            found = await self._batcher.generate(list(wanted.seeds), wanted.types, wanted.psi, wanted.label)
            if sum(stack.nbytes for stack in found.values()) <= _SMALL_BYTES:
                body = encode_maps(artifact, found, wanted.format)
            else:
                body = await asyncio.to_thread(encode_maps, artifact, found, wanted.format)
        return Response(body, media_type=MEDIA_TYPES[wanted.format])

    async def model(self, request: Request) -> Response:
        """The model's description: types with ranges and meaning, resolution, z_dim, psi."""
        return JSONResponse(json.loads(self._engine.artifact.to_json()))

    async def healthz(self, request: Request) -> Response:
        """200 while the service accepts requests, 503 while it stops."""
        stopping = self._batcher.stopping
        state = {"status": "stopping" if stopping else "ok", "waiting": self._batcher.waiting}
        return JSONResponse(state, 503 if stopping else 200)

    async def metrics(self, request: Request) -> Response:
        """Counters in the Prometheus text format."""
        return Response(self._metrics.text(), media_type=CONTENT_TYPE_LATEST)


class _Metrics:
    """Metrics of one application, in a registry of its own."""

    def __init__(self, batcher: Batcher) -> None:
        self._batcher = batcher
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.latency = Histogram(
            "sgi_request_seconds", "Time from request to response.", buckets=_LATENCY_SECONDS, registry=self._registry
        )

    def collect(self) -> Iterator[Metric]:
        """The batcher's counts, in the form that prometheus_client reads."""
        yield CounterMetricFamily("sgi_images", "Images generated.", self._batcher.images)
        yield CounterMetricFamily("sgi_passes", "Passes of the engine.", self._batcher.passes)
        yield CounterMetricFamily("sgi_rejected", "Requests answered with 503.", self._batcher.rejected)
        yield GaugeMetricFamily("sgi_waiting_images", "Images in the queue.", self._batcher.waiting)

    def text(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)


async def _user_error(request: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 400)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = f"{error.detail}: GET /maps, /model, /healthz or /metrics\n"
    return PlainTextResponse(text, error.status_code, error.headers)


async def _busy(request: Request, error: Exception) -> Response:
    return PlainTextResponse("the queue is full; try again later\n", 503, {"Retry-After": "1"})


class _TokenCheck:
    """Answers requests without the bearer token with status 401, except those for `OPEN_PATHS`."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            given = Request(scope).headers.get("authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, self._expected):
                text = "send the header `Authorization: Bearer TOKEN`\n"
                await PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
                return
        await self._app(scope, receive, send)
