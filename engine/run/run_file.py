"""run.json of an output folder: the settings that determine its files, its seeds, and the description of the data set.

The first run in a folder writes it. A later run, and every shard, uses the recorded backend and file names and must
have the same settings, so the files do not depend on the number of runs that wrote them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from sgi.engine.budget import parse_json, read_bytes
from sgi.engine.errors import UserError, one_line
from sgi.engine.files import TEMPORARY_MARK, atomic_write
from sgi.engine.run.record import RunRecord, check_same
from sgi.engine.seeds import Seeds, parse_seeds
from sgi.engine.shards import check_format

RUN_FILE = "run.json"
FORMAT = 2
_TEMPORARY = re.compile(
    rf"\.(?:{Path(RUN_FILE).stem}{re.escape(TEMPORARY_MARK)}[0-9a-f]+\.json|sgi{re.escape(TEMPORARY_MARK)}[0-9a-f]+)"
)
_SHOWN = 60  # characters of the seeds of a folder in a message
TYPE_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
MAP_NAME = re.compile(r"(?:seed|latent)(\d{4,10})_[a-z][a-z0-9-]*\.\w+")
"""File names of maps; the group is the number of the seed or latent."""
FOLDER_NAME = re.compile(r"\d{5,10}")
"""Names of subfolders with maps."""
SHARD_NAME = re.compile(r"shard-(\d{6,10})(?:\.\w+)*")
"""Names of shards; the group is the number of the shard."""


class _NoJson(Exception):
    """Bytes that are no JSON."""


@dataclass(frozen=True)
class RunFile:
    """The contents of run.json: settings, the seeds of all runs in the folder, and facts for readers of the maps.

    Where the record has latents, `seeds` are their numbers. They ascend, but in a folder of shards they have the order
    of the shards.
    """

    record: RunRecord
    seeds: Seeds
    facts: dict[str, Any]


def read_run(outdir: Path) -> RunFile | None:
    """run.json of a folder, None for a new folder.

    Raises UserError for a run.json that is damaged, of another version or not a regular file, and for a folder that has
    maps and no run.json.
    """
    path = outdir / RUN_FILE
    try:
        return _parse(read_bytes(path, follow=False))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"`outdir={outdir}`: its {RUN_FILE} cannot be read ({error.strerror}); remove it") from None
    except _NoJson as error:
        raise UserError(
            f"`outdir={outdir}`: its {RUN_FILE} is truncated or damaged ({error}); restore it from a copy, or choose "
            "another `outdir`"
        ) from None
    except (ValueError, UserError) as error:
        raise UserError(
            f"`outdir={outdir}`: its {RUN_FILE} was not written by this version ({error}); choose another `outdir`"
        ) from None
    name = next(chain(maps_in(outdir), shards_in(outdir)), None)
    if name is not None and not path.exists():  # another shard can write both in the meantime
        check_described(outdir, [name])
    return None


def check_described(outdir: Path | str, names: Iterable[str]) -> None:
    """Raise UserError for names of maps and shards in a folder, or below a URL, that has no run.json."""
    for name in names:
        if MAP_NAME.fullmatch(name.rpartition("/")[2]) or SHARD_NAME.fullmatch(name):
            raise UserError(
                f"`outdir={outdir}`: it contains maps ({name}) and no {RUN_FILE} that describes them; "
                "choose another `outdir`"
            )


def claim_folder(outdir: Path, record: RunRecord, seeds: Seeds, facts: Mapping[str, Any]) -> None:
    """Write run.json into a new folder; compare that of a started one with `record`, and add `seeds` to it.

    facts: description of the data set, which the first run writes.
    Raises UserError as `read_run` and `check_same` do.
    """
    with _lock(outdir):
        _sweep(outdir)
        found = read_run(outdir)
        if found is None:
            _write(outdir, RunFile(record, seeds if record.shard_size else seeds.union(), dict(facts)))
            return
        check_same(outdir, found.record, with_equal_model(found, record, facts))
        together = extended(outdir, found.seeds, seeds) if record.shard_size else found.seeds.union(seeds)
        if together != found.seeds:
            _write(outdir, RunFile(found.record, together, found.facts))


def extended(outdir: Path, found: Seeds, seeds: Seeds) -> Seeds:
    """The seeds of a folder of shards; raises UserError unless they begin with those of the runs before."""
    if seeds[: len(found)] != found:
        raise UserError(
            f"`outdir={outdir}`: its shards are of other `seeds`: {one_line(str(found), _SHOWN)}; use the same, or a "
            "list that begins with them, or choose another `outdir`"
        )
    return seeds


def with_equal_model(found: RunFile, record: RunRecord, facts: Mapping[str, Any]) -> RunRecord:
    """`record` with the folder's hash of the model if the model differs from the folder's in no map.

    facts: the description of `record`. Two exports of one generator can differ in the figures of their verification,
    which depend on versions and threads. Their graphs and the descriptions of the data set are equal then.
    """
    own, given = (json.dumps(_but_versions(values), sort_keys=True) for values in (found.facts, facts))
    known = facts.get("model", {}).get("graph_sha256") is not None
    return replace(record, model_sha256=found.record.model_sha256) if known and own == given else record


def _but_versions(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "versions"}


def maps_in(outdir: Path) -> Iterator[str]:
    """Names of all files in a folder and its subfolders that look like maps, relative to the folder."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(outdir) as entries:
        for entry in entries:
            if MAP_NAME.fullmatch(entry.name):
                yield entry.name
            elif FOLDER_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield from (f"{entry.name}/{name}" for name in os.listdir(entry.path) if MAP_NAME.fullmatch(name))


def shards_in(outdir: Path) -> Iterator[str]:
    """Names of all files and folders that look like shards."""
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from (name for name in os.listdir(outdir) if SHARD_NAME.fullmatch(name))


def _parse(data: bytes) -> RunFile:
    """Raises _NoJson, and ValueError or UserError for another format and for missing and wrong fields."""
    try:
        values = parse_json(data)
    except ValueError as error:
        raise _NoJson("an empty file" if not data else one_line(str(error), _SHOWN)) from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f"not of format {FORMAT}")
    record = msgspec.convert(values, RunRecord)
    for name in record.types:
        if not TYPE_NAME.fullmatch(name):
            raise ValueError("a type with a wrong name")
    check_format(record.file_format)
    if (record.shard_format is None) != (record.shard_size is None):
        raise ValueError("a format without its shard_size")
    text = msgspec.convert(values.get(_numbers_field(record)), str)
    starts = [int(item.partition("-")[0]) for item in text.split(",")]
    if starts != sorted(starts) and record.shard_size is None:
        raise ValueError("its seeds are not in order")
    seeds = parse_seeds(text)
    known = {"format", _numbers_field(record), *asdict(record)}
    return RunFile(record, seeds, {name: value for name, value in values.items() if name not in known})


def _numbers_field(record: RunRecord) -> str:
    """The field of run.json with the numbers of the run: seeds, or rows of the latents."""
    return "seeds" if record.latents_sha256 is None else "rows"


def _write(outdir: Path, run: RunFile) -> None:
    values = {"format": FORMAT, **asdict(run.record), _numbers_field(run.record): str(run.seeds), **run.facts}
    with atomic_write(outdir / RUN_FILE) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(values, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())  # after a loss of power the folder could not be continued with an empty file


def _sweep(outdir: Path) -> None:
    """Remove what killed runs left of run.json and of tests whether the folder can be written, under the lock."""
    for name in os.listdir(outdir):
        if _TEMPORARY.fullmatch(name):
            with suppress(IsADirectoryError, PermissionError):  # a folder of another program
                (outdir / name).unlink(missing_ok=True)


@contextmanager
def _lock(outdir: Path) -> Iterator[None]:
    """Exclusive access to run.json for shards that start at the same time."""
    folder = os.open(outdir, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
