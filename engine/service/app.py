"""The HTTP interface: GET /maps, /model, /healthz and /metrics. Errors are one line of text with status 4xx or 5xx."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from starlette.exceptions import HTTPException

from sgi.engine.api import Engine
from sgi.engine.errors import UserError, one_line
from sgi.engine.labels import labels_of, parse_class
from sgi.engine.seeds import parse_seeds
from sgi.engine.service.batcher import Batcher, BusyError
from sgi.engine.service.encoding import MEDIA_TYPES, choose_format, encode_maps
from sgi.engine.service.settings import ServiceSettings
from sgi.engine.version import __version__

OPEN_PATHS = ("/healthz",)
"""Paths that need no token: a load balancer has none."""
PARAMETERS = ("seeds", "types", "psi", "class_index", "format")
"""Parameters of /maps."""
_LATENCY_SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


def create_app(engine: Engine, settings: ServiceSettings | None = None) -> FastAPI:
    """An ASGI application that serves the maps of one engine; the caller closes the engine afterwards.

    settings: limits and token. Serve it with one process (`uvicorn.run(app)`): the queue is in its memory.
    """
    settings = settings or ServiceSettings()
    batcher = Batcher(engine, settings)
    served = engine.artifact.choose_types(settings.types)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.work())
        yield
        batcher.stop()
        await worker

    app = FastAPI(title="sgi-engine", version=__version__, lifespan=lifespan)
    metrics = _Metrics(batcher)
    _answer_errors(app)
    if settings.token is not None:
        _require_token(app, settings.token)

    @app.get(
        "/maps", response_class=Response, responses={200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}}
    )
    async def maps(
        request: Request,
        seeds: str,
        types: str | None = None,
        psi: float | None = None,
        class_index: str | None = None,
        format: str | None = None,
    ) -> Response:
        """Maps of seeds.

        seeds: `5` or `0-3,9`. types: names joined by commas; default: all of the model. psi: truncation; default: the
        model's. class_index: class of a conditional model, `3`, or weights of classes, `3:0.7,5:0.3`. format: png (one
        map), npy (one type, [N, C, R, R] float32) or npz (one such stack for each type); default: npy for one type,
        else npz.
        """
        check_parameters([name for name, _ in request.query_params.multi_items()])
        artifact = engine.artifact
        wanted = parse_seeds(seeds)
        if len(wanted) > settings.request_seeds:
            raise UserError(f"`seeds={seeds}`: {len(wanted)} seeds; one request takes {settings.request_seeds}")
        names = artifact.choose_types([name.strip() for name in types.split(",")]) if types else served
        for name in names:
            if name not in served:
                raise UserError(f"`types={name}`: the service has {', '.join(served)}")
        chosen = choose_format(format, len(wanted), len(names))
        labels = labels_of(None if class_index is None else parse_class(class_index), 1, artifact.c_dim)
        with metrics.latency.time():
            label = None if labels is None else labels[0]
            found = await batcher.generate(list(wanted), names, artifact.psi if psi is None else psi, label)
            body = await asyncio.to_thread(encode_maps, artifact, found, chosen)
        return Response(body, media_type=MEDIA_TYPES[chosen])

    @app.get("/model")
    async def model() -> Response:
        """The model's description: types with ranges and meaning, resolution, z_dim, psi."""
        return JSONResponse(json.loads(engine.artifact.to_json()))

    @app.get("/healthz")
    async def healthz() -> Response:
        """200 while the service accepts requests, 503 while it stops."""
        state = "stopping" if batcher.stopping else "ok"
        return JSONResponse({"status": state, "waiting": batcher.waiting}, 503 if batcher.stopping else 200)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Counters in the Prometheus text format."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return app


def check_parameters(names: list[str]) -> None:
    """Raise UserError for a parameter of /maps that is unknown or repeated, and so would have no effect."""
    for name in names:
        if name not in PARAMETERS:
            raise UserError(f"`{one_line(name)}`: choose from {', '.join(PARAMETERS)}")
        if names.count(name) > 1:
            raise UserError(f"`{name}`: was given twice")


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


def _answer_errors(app: FastAPI) -> None:
    @app.exception_handler(UserError)
    async def user_error(request: Request, error: UserError) -> Response:
        return PlainTextResponse(f"{error}\n", 400)

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return PlainTextResponse(f"`{first['loc'][-1]}`: {one_line(first['msg'])}\n", 400)

    @app.exception_handler(HTTPException)
    async def not_found(request: Request, error: HTTPException) -> Response:
        return PlainTextResponse(f"{error.detail}: GET /maps, /model, /healthz or /metrics\n", error.status_code)

    @app.exception_handler(BusyError)
    async def busy(request: Request, error: BusyError) -> Response:
        return PlainTextResponse("the queue is full; try again later\n", 503, {"Retry-After": "1"})


def _require_token(app: FastAPI, token: str) -> None:
    expected = f"Bearer {token}".encode()

    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").encode("utf-8", "replace")
        if request.url.path not in OPEN_PATHS and not hmac.compare_digest(given, expected):
            return PlainTextResponse(
                "send the header `Authorization: Bearer TOKEN`\n", 401, {"WWW-Authenticate": "Bearer"}
            )
        return await call_next(request)
