"""One folder of a run in the viewer: which seeds are finished, and their maps; it follows a run that writes.

A place is the position of a seed in the list of the run.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.run.accepted_lines import AcceptedLines
from sgi.engine.run.job import Job
from sgi.engine.run.line_file import LineFile
from sgi.engine.run.manifest import MANIFEST, SHARD_MANIFEST, Manifest
from sgi.engine.run.map_files import is_intact
from sgi.engine.run.map_types import DescribedTypes, types_of
from sgi.engine.run.reading import Found, read_each
from sgi.engine.run.run_file import RUN_FILE, read_run
from sgi.engine.run.shard_files import ShardManifest, exists, is_held, settings_of
from sgi.engine.seeds import Seeds, parse_seeds

FINISHED, RUNNING, STOPPED = "finished", "running", "stopped"
_RECENT = 10.0  # seconds after its last line in which a run counts as running, on file systems without locks
_LISTED = 10.0  # seconds after which a folder is searched for new manifests of parts
_SAMPLE = 1000  # lines whose sizes give an estimate of all


class RemovedError(UserError):
    """The folder is no longer there, or another one is in its place."""


class Size(NamedTuple):
    """Bytes of the maps of finished seeds; exact, or estimated from a sample of them."""

    bytes: int
    exact: bool


@dataclass(frozen=True)
class Index:
    """What is known of a folder at one time. done, missing: places with and without a line in a manifest."""

    job: Job
    types: DescribedTypes
    facts: dict[str, Any]
    done: Seeds
    missing: Seeds


class RunPart:
    """A folder with run.json, which this class only reads.

    name: of the folder among those of one run of several classes, may be empty. Raises UserError for a folder without
    run.json, with one of another version, or of a format whose package is missing.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.path = path
        self.name = name
        self._manifests: dict[Path, LineFile[Any]] = {}
        self._run_file: tuple[int, ...] = ()
        self._listed = self._grew = -np.inf
        self.damaged: dict[int, dict[str, str]] = {}
        self.index, self.stamp = self._open()

    def refresh(self) -> bool:
        """Read what has changed; returns whether anything has.

        Raises RemovedError, and UserError as the constructor does.
        """
        if _signature(self.path) != self._run_file:
            self.index, self.stamp = self._open()
            return True
        if changed := self._follow():
            self._grew = time.monotonic()
            self.damaged = {}  # a run can have made them again
            self.index = self._index(self.index.job, self.index.types, self.index.facts)
        return changed

    def check(self) -> None:
        """Raise RemovedError if the folder or its run.json is gone."""
        _signature(self.path)

    @property
    def state(self) -> str:
        """FINISHED, RUNNING or STOPPED."""
        if not self.index.missing:
            return FINISHED
        held = any(is_held(path) for path in self._manifests) or time.monotonic() - self._grew < _RECENT
        return RUNNING if held else STOPPED

    @property
    def absent(self) -> Seeds:
        """The places whose maps are missing, or damaged as far as they were read; ascending."""
        damaged = [range(place, place + 1) for place in sorted(self.damaged)]
        return self.index.missing.union(Seeds(damaged)) if damaged else self.index.missing

    def is_done(self, place: int) -> bool:
        """Whether a manifest has the seed of a place."""
        return place in self.index.done

    def read(self, place: int) -> Found:
        """The maps of a finished seed; notes those that are damaged."""
        index = self.index
        found = read_each(index.job, index.types, place)
        if found.damaged:
            self.damaged[place] = found.damaged
        else:
            self.damaged.pop(place, None)
        return found

    def is_whole(self, place: int) -> bool:
        """Whether the files of a finished seed exist with the recorded sizes; a damaged one can have its size."""
        job = self.index.job
        size = job.record.shard_size
        number = place // size if size else job.seeds[place]
        for manifest in list(self._manifests.values()):
            if (line := manifest.find(number)) is None:
                continue
            if exists(self.path / line.file, line.bytes) if size else is_intact(job, line, verify=False):
                return place not in self.damaged
        return False

    def size(self) -> Size:
        """Bytes of all finished seeds; of many loose files an estimate."""
        whole = self.index.job.record.shard_size is not None
        sizes: dict[int, int] = {}
        for manifest in self._manifests.values():
            for line in islice(manifest, None if whole else _SAMPLE):
                sizes[line.number] = line.bytes if whole else sum(line.bytes.values())
        known = sum(sizes.values())
        if whole or len(sizes) == len(self.index.done) or not sizes:
            return Size(known, True)
        return Size(round(known / len(sizes) * len(self.index.done)), False)

    def close(self) -> None:
        """Close the manifests."""
        while self._manifests:
            self._manifests.popitem()[1].close()

    def _open(self) -> tuple[Index, str]:
        """Read run.json and all manifests; returns the index and the stamp."""
        self.close()
        signature = _signature(self.path)
        try:
            run = read_run(self.path)
            types = types_of(self.path, run) if run else None
        except UserError as error:
            words = str(error).replace("`outdir=", "`what=").replace("choose another `outdir`", "open another folder")
            raise UserError(words) from None
        if run is None or types is None:
            raise RemovedError(f"`what={self.path}`: it has no {RUN_FILE}; name a folder that `sgi-engine run` wrote")
        if form := run.record.shard_format:
            form.check(settings_of(run.record, types.resolution))
        self._listed = -np.inf
        job = Job(self.path, run.seeds, run.record)
        self._open_manifests(job)
        self.damaged = {}
        self._run_file = signature
        stamp = hashlib.sha256(repr((str(self.path.absolute()), signature)).encode()).hexdigest()[:12]
        return self._index(job, types, run.facts), stamp

    def _open_manifests(self, job: Job) -> bool:
        """Open the manifests that are not open yet; returns whether there are any."""
        found = {self.path / MANIFEST, *self._manifests}
        if time.monotonic() - self._listed > _LISTED:
            self._listed = time.monotonic()
            with suppress(OSError):
                found |= {path for path in self.path.iterdir() if SHARD_MANIFEST.fullmatch(path.name)}
        before = len(self._manifests)
        for path in sorted(found - self._manifests.keys()):
            with suppress(FileNotFoundError):
                self._manifests[path] = _manifest(path, job)
        return len(self._manifests) > before

    def _follow(self) -> bool:
        """Read new lines and new manifests; returns whether there are any."""
        changed = False
        for path, manifest in list(self._manifests.items()):
            try:
                changed = manifest.follow() or changed
            except OSError:  # sorted at the end of a run, merged or removed
                self._manifests.pop(path).close()
                changed = True
        return self._open_manifests(self.index.job) or changed

    def _index(self, job: Job, types: DescribedTypes, facts: dict[str, Any]) -> Index:
        parts = [self._places(job, manifest) for manifest in self._manifests.values()]
        done = _ranges(np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64))
        return Index(job, types, facts, done, _complement(done, len(job.seeds)))

    def _places(self, job: Job, manifest: LineFile[Any]) -> NDArray[np.int64]:
        """The places of the seeds with a line."""
        size = job.record.shard_size
        if size is None:
            return job.seeds.places(manifest.array())
        lines = (line for line in manifest)
        return np.concatenate(
            [
                np.empty(0, np.int64),
                *(line.shard * size + np.arange(len(parse_seeds(line.seeds)), dtype=np.int64) for line in lines),
            ]
        )


def _manifest(path: Path, job: Job) -> LineFile[Any]:
    """A manifest of a folder, for reading."""
    if job.record.shard_size:
        return ShardManifest(path, job, read_only=True)
    return Manifest(path, True, AcceptedLines(job.record, job.seeds), job.record.item)


def _signature(path: Path) -> tuple[int, ...]:
    """What changes when run.json of a folder is written again; raises RemovedError if there is none."""
    try:
        found = (path / RUN_FILE).stat()
    except OSError:
        raise RemovedError(
            f"`what={path}`: the folder or its {RUN_FILE} is not there; restore it, or open another folder"
        ) from None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _ranges(places: NDArray[np.integer]) -> Seeds:
    """Ascending places as ranges."""
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts = places[np.concatenate([[0], breaks + 1]).astype(np.intp)] if len(places) else places
    stops = places[np.concatenate([breaks, [-1]]).astype(np.intp)] + 1 if len(places) else places
    return Seeds(map(range, starts.tolist(), stops.tolist()))


def _complement(done: Seeds, total: int) -> Seeds:
    """The places below `total` that are not done."""
    starts = [0, *(part.stop for part in done.ranges)]
    stops = [*(part.start for part in done.ranges), total]
    return Seeds(map(range, starts, stops))
