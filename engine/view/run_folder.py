"""A run folder as the viewer shows it: items by place, in one folder or in the folders of several classes.

A place is the position of an item among all: the seeds of the first folder in their order, then those of the next.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import foreign
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.run.reading import Found
from sgi.engine.run.run_file import RUN_FILE
from sgi.engine.run.stores.opening import is_url
from sgi.engine.seeds import seed_stem
from sgi.engine.view.run_part import FINISHED, RUNNING, STOPPED, RunPart, Size
from sgi.engine.view.run_settings import generator_of, screen_of, settings_of
from sgi.engine.writers.display import Span, is_coloured, span_of

DONE, MISSING, DAMAGED = "done", "missing", "damaged"
MOST_ITEMS = 1000
"""Items of one request."""
_INTERVAL = 0.5  # seconds between two looks at the files
_SAMPLED = 8  # items whose maps give the span of the colours of depth
_SEARCHED = 0.25  # seconds of one search for a missing map
_MOST_PARTS = 10_000


class Item(NamedTuple):
    """One image of a folder. place: among all. number: seed or latent. state: DONE, MISSING or DAMAGED."""

    place: int
    number: int
    state: str
    name: str


class RunFolder:
    """What `sgi-engine run` wrote, or is writing. Any number of threads may use it.

    path: a folder with run.json, or one whose subfolders have it, which a run of several classes or mix seeds writes.
    types, resolution: of the maps. Raises UserError for a folder that no run wrote, with what it is and the remedy.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.RLock()
        self._looked = time.monotonic()
        self.version = 1
        self._sizes: tuple[int, list[Size]] = (0, [])
        self._spans: dict[str, dict[str, Span]] = {}
        self._parts = [RunPart(folder, name) for folder, name in _folders(self.path)]
        self._number()
        self._check_types()

    @property
    def types(self) -> tuple[Intrinsic, ...]:
        """The types of the maps, in the order of the run."""
        return self._parts[0].index.types.types

    @property
    def resolution(self) -> int:
        """Side of a map in pixels."""
        return self._parts[0].index.types.resolution

    @property
    def item(self) -> str:
        """What an item is of: seed or latent."""
        return self._parts[0].index.job.record.item

    @property
    def model_sha256(self) -> str:
        """Hash of the file of the model that made the maps."""
        return self._parts[0].index.job.record.model_sha256

    @property
    def generator_sha256(self) -> str | None:
        """Hash of the generator that made the maps, None where run.json does not state it."""
        return generator_of(self._parts[0].index.facts)

    @property
    def title(self) -> str:
        """Name of the folder for people."""
        return f"{self.path.absolute().name or self.path}"

    def refresh(self) -> None:
        """Follow what runs have written since.

        Raises RemovedError if the folder is gone, and UserError as the constructor does.
        """
        with self._lock:
            if time.monotonic() - self._looked < _INTERVAL:
                return
            self._looked = time.monotonic()
            changed = [part.refresh() for part in self._parts]
            if any(changed):
                self.version += 1
                self._number()
                self._check_types()

    def status(self) -> dict[str, Any]:
        """Numbers and settings, JSON-ready: GET /api/run."""
        self.refresh()
        with self._lock:
            states = {part.state for part in self._parts}
            if self._sizes[0] != self.version:  # it takes time for many shards
                self._sizes = self.version, [part.size() for part in self._parts]
            sizes = self._sizes[1]
            return {
                "state": RUNNING if RUNNING in states else STOPPED if STOPPED in states else FINISHED,
                "item": self.item,
                "total": self.total,
                "done": sum(len(part.index.done) for part in self._parts),
                "missing": sum(len(part.index.missing) for part in self._parts),
                "damaged": sum(len(part.damaged) for part in self._parts),
                "resolution": self.resolution,
                "parts": [
                    {
                        "name": part.name,
                        "start": start,
                        "count": len(part.index.job.seeds),
                        "screen": screen_of(part.index.job.record, part.index.facts),
                    }
                    for part, start in zip(self._parts, self._starts, strict=True)
                ],
                "settings": settings_of(self.path, self._parts[0].index, len(self._parts)),
                "bytes": sum(size.bytes for size in sizes),
                "exact": all(size.exact for size in sizes),
                "version": self.version,
                "stamp": self.stamp,
            }

    @property
    def stamp(self) -> str:
        """Changes when the files behind places can be others: a part of the addresses of strips."""
        return "".join(part.stamp for part in self._parts)[: 12 * 4]

    def items(self, start: int, count: int, only: str = "all") -> dict[str, Any]:
        """A page of items, JSON-ready; only: `all`, or `missing` for those without a map, damaged ones included.

        Raises UserError for another page than there can be.
        """
        if only not in ("all", MISSING):
            raise UserError(f"`only={only[:20]}`: choose all or {MISSING}")
        if start < 0 or not 0 <= count <= MOST_ITEMS:
            raise UserError(f"`count={count}`: choose a start from 0, and 0 to {MOST_ITEMS} items")
        with self._lock:
            places: Sequence[int] = range(start, min(start + count, self.total))
            total = self.total
            if only == MISSING:
                places, total = self._missing(start, count)
            return {"total": total, "items": [self.at(place)._asdict() for place in places]}

    def at(self, place: int) -> Item:
        """The item of a place; raises UserError for a place that the folder does not have."""
        part, inner = self._part(place)
        number = part.index.job.seeds[inner]
        state = MISSING if not part.is_done(inner) else DAMAGED if inner in part.damaged else DONE
        stem = seed_stem(number, part.index.job.record.digits, part.index.job.record.item)
        return Item(place, number, state, f"{part.name}/{stem}" if part.name else stem)

    def is_done(self, place: int) -> bool:
        """Whether the item of a place is finished; a damaged one is."""
        part, inner = self._part(place)
        return part.is_done(inner)

    def first_done(self, count: int) -> list[int]:
        """The places of the first finished items, at most `count`."""
        found: list[int] = []
        for part, first in zip(self._parts, self._starts, strict=True):
            found += [first + place for place in part.index.done[: count - len(found)]]
        return found

    def find(self, number: int, after: int = -1) -> int | None:
        """The place of a seed or latent, the first after `after` if several folders have it, else the first of all."""
        with self._lock:
            found = [
                start + part.index.job.seeds.index(number)
                for part, start in zip(self._parts, self._starts, strict=True)
                if number in part.index.job.seeds
            ]
        return next((place for place in found if place > after), found[0] if found else None)

    def next_missing(self, after: int) -> tuple[int | None, int]:
        """The next place after `after` whose maps are missing, or damaged as far as sizes show it.

        The search ends after a quarter of a second; the second number is the last place that was searched.
        """
        until = time.monotonic() + _SEARCHED
        for place in range(max(after, -1) + 1, self.total):
            part, inner = self._part(place)
            if not part.is_done(inner):
                return place, place
            with self._lock:
                whole = part.is_whole(inner)
            if not whole:
                return place, place
            if time.monotonic() > until:
                return None, place
        return None, self.total - 1

    def read(self, place: int) -> Found:
        """The maps of an item.

        Raises UserError if it is not finished and for a place out of range, and RemovedError if the folder is gone.
        """
        part, inner = self._part(place)
        if not part.is_done(inner):
            raise UserError(f"{self.at(place).name}: missing; the run has not made it")
        found = part.read(inner)
        if found.damaged:
            part.check()  # the reason can be that the folder is gone
        return found

    def spans(self) -> dict[str, Span]:
        """{type: span} of the colours of depth in strips: one for all items, of the first finished ones."""
        with self._lock:
            if self.stamp not in self._spans:
                codes: dict[str, list[NDArray[np.floating]]] = {
                    kind.name: [] for kind in self.types if is_coloured(kind)
                }
                for place in self.first_done(_SAMPLED) if codes else ():
                    maps = self.read(place).maps
                    for name in codes.keys() & maps.keys():
                        kind = next(kind for kind in self.types if kind.name == name)
                        codes[name].append(intrinsics.encode(kind, maps[name]))
                spans = {name: span_of(found) for name, found in codes.items()}
                if codes and not any(codes.values()):
                    return spans
                self._spans = {self.stamp: spans}
            return self._spans[self.stamp]

    def close(self) -> None:
        """Close the files."""
        with self._lock:
            for part in self._parts:
                part.close()

    def _number(self) -> None:
        counts = [len(part.index.job.seeds) for part in self._parts]
        self._starts = [sum(counts[:place]) for place in range(len(counts))]
        self.total = sum(counts)

    def _part(self, place: int) -> tuple[RunPart, int]:
        """The folder of a place, and the place in it."""
        if not 0 <= place < self.total:
            raise UserError(f"`place={place}`: the folder has {self.total} items, from 0 on")
        which = int(np.searchsorted(self._starts, place, "right")) - 1
        while len(self._parts[which].index.job.seeds) == 0:
            which -= 1
        return self._parts[which], place - self._starts[which]

    def _missing(self, start: int, count: int) -> tuple[list[int], int]:
        """Places number `start` to `start + count` of those without a map, and how many there are."""
        found: list[int] = []
        before = 0
        for part, first in zip(self._parts, self._starts, strict=True):
            absent = part.absent
            page = absent[max(start - before, 0) : max(start + count - before, 0)]
            found += [first + place for place in page]
            before += len(absent)
        return found, before

    def _check_types(self) -> None:
        first = self._parts[0]
        for part in self._parts[1:]:
            if part.index.types != first.index.types or part.index.job.record.item != first.index.job.record.item:
                raise UserError(
                    f"`what={self.path}`: {part.name} and {first.name} have other maps; open one of the folders"
                )


def _folders(path: Path) -> list[tuple[Path, str]]:
    """The folders of a run and their names; raises UserError, with what the path is, if there are none."""
    if (path / RUN_FILE).is_file():
        return [(path, "")]
    inner = [file.parent for pattern in ("*", "*/*") for file in path.glob(f"{pattern}/{RUN_FILE}")]
    if inner:
        names = sorted((folder.relative_to(path).as_posix() for folder in inner[:_MOST_PARTS]), key=_in_order)
        return [(path / name, name) for name in names]
    if is_url(str(path)):
        raise UserError(f"`what={path}`: a URL; copy the folder to this machine first")
    if not path.exists():
        raise UserError(f"`what={path}`: no such folder; name one that `sgi-engine run` wrote")
    if not path.is_dir():
        raise UserError(f"`what={path}`: it is no folder but {foreign(path) or 'a file'}; name a run's folder")
    empty = next(path.iterdir(), None) is None
    raise UserError(
        f"`what={path}`: {'an empty folder' if empty else f'a folder without {RUN_FILE}'}; name one that "
        "`sgi-engine run` wrote"
    )


def _in_order(name: str) -> list[tuple[int, str]]:
    """A key by which class2 is before class10."""
    return [(int(digits or 0), text) for text, digits in re.findall(r"([^\d]*)(\d*)", name)]
