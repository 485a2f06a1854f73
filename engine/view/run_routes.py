"""The endpoints of a run folder: its items, their strips and their maps. docs/reference/view.md lists them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sgi.engine.errors import UserError
from sgi.engine.seeds import SEED_MAX
from sgi.engine.view.run_folder import DONE, RunFolder
from sgi.engine.view.run_part import RemovedError
from sgi.engine.view.strips import draw_strip, strip_size
from sgi.engine.view.wire import MEDIA_TYPE, encode_body
from sgi.engine.writers.png import encode_png

_KEEP = {"Cache-Control": "private, max-age=3600, immutable"}
_ASK_AGAIN = {"Cache-Control": "no-store"}
_GONE = 410
_LONGEST_REASON = 2000


def routes(folder: RunFolder) -> list[BaseRoute]:
    """The routes of a folder for `create_app`; the caller closes the folder afterwards."""
    endpoints = _Endpoints(folder)
    found = {
        "/api/run": endpoints.status,
        "/api/run/items": endpoints.items,
        "/api/run/find": endpoints.find,
        "/api/run/missing": endpoints.next_missing,
        "/api/run/maps/{place:int}": endpoints.maps,
        "/run/strip/{place:int}.png": endpoints.strip,
    }
    return [Route(path, _answered(endpoint)) for path, endpoint in found.items()]


class _Endpoints:
    """The endpoints; Starlette runs them on several threads."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    def status(self, request: Request) -> Response:
        """Numbers, settings, state and version."""
        folder = self._folder
        width, height = strip_size(len(folder.types), folder.resolution)
        strip = {"width": width, "height": height}
        return JSONResponse({**folder.status(), "strip": strip, "types": _names(folder)}, headers=_ASK_AGAIN)

    def items(self, request: Request) -> Response:
        """A page of items."""
        query = request.query_params
        found = self._folder.items(_number(query, "start", 0), _number(query, "count", 200), query.get("only", "all"))
        return JSONResponse(found, headers=_ASK_AGAIN)

    def find(self, request: Request) -> Response:
        """The place of a number."""
        query = request.query_params
        number = _number(query, "number")
        place = self._folder.find(number, _number(query, "after", -1))
        if place is None:
            raise HTTPException(404, f"the run has no {self._folder.item} {number}")
        return JSONResponse({"place": place}, headers=_ASK_AGAIN)

    def next_missing(self, request: Request) -> Response:
        """The next place without a map, or null and the last place that was searched."""
        place, searched = self._folder.next_missing(_number(request.query_params, "after", -1))
        return JSONResponse({"place": place, "searched": searched}, headers=_ASK_AGAIN)

    def maps(self, request: Request) -> Response:
        """The maps of an item, without those that are damaged."""
        folder = self._folder
        folder.refresh()  # another run can be in its place
        start = time.perf_counter()
        found = folder.read(request.path_params["place"])
        body = encode_body(folder.types, found.maps, time.perf_counter() - start)
        return Response(body, media_type=MEDIA_TYPE, headers={**_ASK_AGAIN, **_reasons(found.damaged)})

    def strip(self, request: Request) -> Response:
        """The maps of an item side by side; X-Sgi-Damaged has the reasons for marked cells."""
        folder = self._folder
        item = folder.at(request.path_params["place"])
        try:
            maps, damaged = folder.read(item.place)
        except RemovedError:
            raise
        except UserError as error:
            maps, damaged = {}, {"": str(error)}
        pixels = draw_strip(folder.types, folder.resolution, maps, folder.spans())
        # A map that is missing now can be there later.
        kept = _KEEP if item.state == DONE and not damaged else _ASK_AGAIN
        return Response(encode_png(pixels), media_type="image/png", headers={**kept, **_reasons(damaged)})


def _answered(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """An endpoint that answers 410 where the folder is gone."""

    def answer(request: Request) -> Response:
        try:
            return endpoint(request)
        except RemovedError as error:
            raise HTTPException(_GONE, str(error)) from None

    return answer


def _names(folder: RunFolder) -> list[str]:
    return [kind.name for kind in folder.types]


def _reasons(damaged: dict[str, str]) -> dict[str, str]:
    """The header with {type: reason} as JSON in percent-encoding, as headers are ASCII."""
    text = quote(json.dumps(damaged)[:_LONGEST_REASON])
    return {"X-Sgi-Damaged": text} if damaged else {}


def _number(query: Any, name: str, default: int | None = None) -> int:
    text = query.get(name, "" if default is None else str(default))
    try:
        number = int(text) if len(text) <= len(str(SEED_MAX)) + 1 else SEED_MAX + 1
    except ValueError:
        number = SEED_MAX + 1
    if not -1 <= number <= SEED_MAX:
        raise UserError(f"`{name}={text[:20]}`: must be a number from 0 to {SEED_MAX}")
    return number
