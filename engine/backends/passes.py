"""Passes of a backend: started before the maps of the previous one are used where it can overlap, and checked."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from sgi.engine.backends.backend import Backend, Coding, Overlapping
from sgi.engine.backends.ports import check_codes, check_maps
from sgi.engine.codes import pixels_of
from sgi.engine.finite import check_finite
from sgi.engine.in_flight import InFlight
from sgi.engine.requests import Pass

Maps = dict[str, np.ndarray]


def run_passes(
    backend: Backend, in_flight: InFlight, passes: Iterable[Pass], types: tuple[str, ...] | None, as_codes: bool
) -> Iterator[Maps]:
    """The maps of each pass, {type: [N, C, R, R] float32}, or with `as_codes` their codes [N, R, R, C].

    in_flight: entered while the backend computes. types: outputs, None for those the backend was opened with.
    Raises UserError for maps that differ from the model's description, NotFiniteError for values that are not finite.
    """
    start = _start(backend, as_codes)
    if start is None:
        for latent, psi, label in passes:
            with in_flight:
                maps = backend.run(latent, psi, label, types)
            yield _checked(backend, maps, len(latent), types, as_codes)
        return
    ahead = getattr(backend, "ahead", 1)
    waiting: deque[tuple[Callable[[], Maps], int]] = deque()
    for latent, psi, label in passes:
        with in_flight:
            waiting.append((start(latent, psi, label, types), len(latent)))
            ready = _finish(waiting) if len(waiting) > ahead else None
        if ready:
            yield _checked(backend, *ready, types, as_codes)
    while waiting:
        with in_flight:
            ready = _finish(waiting)
        yield _checked(backend, *ready, types, as_codes)


def _start(backend: Backend, as_codes: bool) -> Callable[..., Callable[[], Maps]] | None:
    """The method of a backend that starts a pass; None for a backend that has none."""
    if as_codes and isinstance(backend, Coding):
        return backend.start_codes
    return backend.start if isinstance(backend, Overlapping) else None


def _checked(backend: Backend, maps: Maps, rows: int, types: tuple[str, ...] | None, as_codes: bool) -> Maps:
    model = getattr(backend, "path", None) or f"backend {backend.name}"
    artifact = backend.artifact
    if as_codes and isinstance(backend, Coding):
        return check_codes(model, artifact, maps, rows, types)
    maps = check_maps(model, artifact, maps, rows, types)
    if not getattr(backend, "checks_finite", False):
        check_finite(maps)
    return {name: pixels_of(artifact.output(name), maps[name]) for name in maps} if as_codes else maps


def _finish(waiting: deque[tuple[Callable[[], Maps], int]]) -> tuple[Maps, int]:
    maps, rows = waiting.popleft()
    return maps(), rows
