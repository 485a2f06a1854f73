"""The files of shards: names, sizes, hashes, and moving a finished shard to its place."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.budget import is_regular
from sgi.engine.files import sha256_file, temporary_path
from sgi.engine.run.job import Job
from sgi.engine.run.line_file import Entry, LineFile
from sgi.engine.run.map_types import MapTypes
from sgi.engine.run.record import RunRecord
from sgi.engine.run.set_aside import move_aside
from sgi.engine.run.stores.store import Store
from sgi.engine.run.unreadable import UnreadableError
from sgi.engine.seeds import SEED_MAX, Seeds
from sgi.engine.shards.shard_format import MAX_SHARD_SIZE, ShardSettings, stored, values_of

_LAST = re.compile(r"(?<!\d)\d{1,10}$")
_LONGEST = 12 * MAX_SHARD_SIZE + 1000  # bytes of a line: a seed has up to 10 digits and a comma


class ShardLine(Entry, frozen=True):
    """A finished shard: its number, its name, its bytes, its SHA-256 as `sha256_of` gives it, and its seeds as text."""

    shard: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)]
    file: str
    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(max_length=64)]
    seeds: str

    @property
    def number(self) -> int:
        """The number of the shard."""
        return self.shard


class LatentShardLine(ShardLine, frozen=True, rename={"seeds": "latents"}):
    """A finished shard of latents; in the file, `latents` are their numbers in place of `seeds`."""

    seeds: str  # msgspec renames only fields that the class itself defines


SHARD_LINES: dict[str, type[ShardLine]] = {"seed": ShardLine, "latent": LatentShardLine}
"""What a shard contains -> the class of its line."""


class ShardManifest(LineFile[ShardLine]):
    """The lines of the finished shards of a job; see `LineFile`."""

    def __init__(self, path: Path, job: Job, read_only: bool = False) -> None:
        super().__init__(path, SHARD_LINES[job.record.item], _LONGEST, read_only, lambda line: _is_line(job, line))


def shard_name(record: RunRecord, number: int) -> str:
    """The name of a shard: `shard-000042.tar`."""
    assert record.shard_format is not None
    return f"shard-{number:06d}{record.shard_format.suffix}"


def settings_of(record: RunRecord, resolution: int) -> ShardSettings:
    """What the shards of a folder have in common, for their format."""
    facts = {
        "psi": record.psi,
        "class_index": record.class_index,
        "class_weights": record.class_weights,
        "mix_seed": record.mix_seed,
        "mix_rows": record.mix_rows,
    }
    return ShardSettings(
        record.dtype or "", record.compression or "", record.item, resolution, record.digits,
        {name: value for name, value in facts.items() if value is not None}, record.shard_size or 0,
    )  # fmt: skip


def files_of(shard: Path) -> list[Path]:
    """The files of a shard, a file or a folder, in the order of their names; raises OSError if it does not exist."""
    if not shard.is_dir() or shard.is_symlink():
        return [shard]
    return sorted(Path(folder) / name for folder, _, names in os.walk(shard) for name in names)


def bytes_of(shard: Path) -> int:
    """The bytes of the files of a shard."""
    return sum(path.lstat().st_size for path in files_of(shard))


def sha256_of(shard: Path) -> str:
    """The file hash of a shard; of a folder, the SHA-256 of the text that `sha256sum` prints of its files.

    The text has the line `HASH  NAME` for each file, NAME relative to the folder, in the order of the names.
    """
    if not shard.is_dir():
        return sha256_file(shard)
    lines = (f"{sha256_file(path)}  {path.relative_to(shard).as_posix()}\n" for path in files_of(shard))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def exists(path: Path, size: int, sha256: str | None = None) -> bool:
    """Whether a shard has this size, in bytes, and this hash; None for any."""
    try:
        regular = all(is_regular(file) for file in files_of(path))
        return regular and bytes_of(path) == size and (sha256 is None or sha256_of(path) == sha256)
    except FileNotFoundError:
        return False


def is_finished(job: Job, store: Store, line: ShardLine, verify: bool) -> bool:
    """Whether the shard of a line has all seeds of that shard of the job, its size and, with `verify`, its hash."""
    wanted = line.seeds == str(job.shard_seeds(line.shard))
    return wanted and store.has(line.file, line.bytes, line.sha256 if verify else None)


def sync(shard: Path) -> None:
    """Wait until the files of a shard are on the disk."""
    folders = [Path(folder) for folder, _, _ in os.walk(shard)]  # none of a file
    for path in (*files_of(shard), *folders):
        sync_one(path)


def sync_one(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(made: Path, target: Path, replaces: Callable[[], bool]) -> Path | None:
    """Rename a complete shard to its name; returns the new name of what was there and is set aside, else None.

    replaces: whether what is there is a shard of this run that the new one replaces. A shard with the same bytes, of a
    run that was killed or of one on another machine, is kept. Raises OSError.
    """
    while True:
        try:
            return _place(made, target, replaces)
        except OSError as error:  # another run moved a shard to the name, or away from it, in between
            moved = isinstance(error, FileNotFoundError) or error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not moved or not made.exists():
                raise


def _place(made: Path, target: Path, replaces: Callable[[], bool]) -> Path | None:
    if not os.path.lexists(target):
        os.rename(made, target)
        return None
    if not target.is_symlink() and bytes_of(target) == bytes_of(made) and sha256_of(target) == sha256_of(made):
        remove(made)
        return None
    if not replaces():
        kept = move_aside(target)
        os.rename(made, target)
        return kept
    if target.is_dir():  # a rename replaces only an empty folder
        old = temporary_path(target)
        os.rename(target, old)
        os.rename(made, target)
        remove(old)
    else:
        os.replace(made, target)
    return None


def hold(made: Path) -> int:
    """Mark a shard as being made by a run that lives; returns the file descriptor that ends it when it is closed."""
    held = os.open(made, os.O_RDONLY)
    with suppress(OSError):  # a file system without locks
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return held


def is_held(made: Path) -> bool:
    """Whether a run holds a shard; False on a file system without locks."""
    try:
        held = os.open(made, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(held)
    return False


def remove(shard: Path) -> None:
    """Remove an incomplete shard, if it exists."""
    if shard.is_dir() and not shard.is_symlink():
        shutil.rmtree(shard, ignore_errors=True)
    else:
        shard.unlink(missing_ok=True)


def read_maps(job: Job, types: MapTypes, place: int) -> dict[str, np.ndarray]:
    """The maps [C, R, R] float32 of the seed number `place` of a job's part; raises UnreadableError."""
    form, size = job.record.shard_format, job.record.shard_size
    assert form is not None
    assert size is not None
    path = job.outdir / shard_name(job.record, job.shards[place // size])
    kinds = [types.output(name) for name in job.record.types]
    settings = settings_of(job.record, types.resolution)
    try:
        found = form.read(path, job.part[place], kinds, settings)
        return {kind.name: values_of(kind, found[kind.name], settings.dtype) for kind in kinds}
    except Exception as error:  # readers raise exceptions of many types for damaged files
        raise UnreadableError(path, error) from None


def as_stored(job: Job, artifact: Artifact, seed: int, maps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The maps [C, R, R] float32 that `read_maps` would read of these, with the rounding of format and compression."""
    form = job.record.shard_format
    assert form is not None
    kinds = [artifact.output(name) for name in job.record.types]
    settings = settings_of(job.record, artifact.resolution)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"one{form.suffix}"
        writer = form.open(path, kinds, Seeds([range(seed, seed + 1)]), settings)
        writer.write(
            writer.encode([seed], {kind.name: stored(kind, maps[kind.name][None], settings.dtype) for kind in kinds})
        )
        writer.close()
        found = form.read(path, seed, kinds, settings)
        return {kind.name: values_of(kind, found[kind.name], settings.dtype) for kind in kinds}


def _is_line(job: Job, line: ShardLine) -> bool:
    """Whether a line names a shard of the job with its seeds, or with the first of them, of a run of fewer seeds."""
    if line.shard >= len(job.all_shards) or line.file != shard_name(job.record, line.shard):
        return False
    seeds = job.shard_seeds(line.shard)
    return line.seeds == str(seeds) or _begins_with(seeds, line.seeds)


def _begins_with(seeds: Seeds, text: str) -> bool:
    """Whether `text` is that of the first of these seeds; it is not parsed as a whole, because it can be hostile."""
    last = _LAST.search(text)
    number = int(last[0]) if last else -1
    return number in seeds and str(seeds[: seeds.index(number) + 1]) == text
