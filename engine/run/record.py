"""run.json of an output folder: the settings that determine its files, its seeds, and the description of the data set.

The first run in a folder writes it. A later run, and every shard, uses the recorded backend and file names and must
have the same settings, so the files do not depend on the number of runs that wrote them.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from sgi.engine.arguments import MAX_BATCH, PSI_LIMIT
from sgi.engine.artifact import MAX_DIM, MAX_TYPES
from sgi.engine.budget import parse_json, read_bytes
from sgi.engine.errors import UserError, one_line
from sgi.engine.files import TEMPORARY_MARK, atomic_write
from sgi.engine.latents_file import Kind
from sgi.engine.seeds import DIGITS, SEED_MAX, Seeds, parse_seeds, seed_stem
from sgi.engine.shards import SHARD_FORMATS, ShardFormat, check_format
from sgi.engine.shards.shard_format import MAX_SHARD_SIZE
from sgi.engine.writers import get_format

RUN_FILE = "run.json"
FORMAT = 2
SEEDS_PER_FOLDER = 1000
MAX_DIGITS = len(str(SEED_MAX))
LEAST_DIGITS = {"seed": DIGITS, "latent": 4}
"""What a number is of -> digits of it in file names, unless the user chooses others."""
_TEMPORARY = re.compile(
    rf"\.(?:{Path(RUN_FILE).stem}{re.escape(TEMPORARY_MARK)}[0-9a-f]+\.json|sgi{re.escape(TEMPORARY_MARK)}[0-9a-f]+)"
)
_SHOWN = 60  # characters of the seeds of a folder in a message
_MOST_ROWS = 200  # characters of a list of rows of w+
TYPE_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
MAP_NAME = re.compile(r"(?:seed|latent)(\d{4,10})_[a-z][a-z0-9-]*\.\w+")
"""File names of maps; the group is the number of the seed or latent."""
FOLDER_NAME = re.compile(r"\d{5,10}")
"""Names of subfolders with maps."""
SHARD_NAME = re.compile(r"shard-(\d{6,10})(?:\.\w+)*")
"""Names of shards; the group is the number of the shard."""


@dataclass(frozen=True)
class RunRecord:
    """The settings that determine the files of an output folder; a continued run must have the same.

    model_sha256: hash of the model file. types: types that are written, in the model's order. psi: truncation, None for
    w and w+, which are after it. class_index: class of all images, None for a model without classes. file_format: a
    name of `writers.FORMATS`. digits: decimal digits of the seed in file names. backend, device: what runs the model.
    precision: bf16, or None for the model's own. seeds_per_folder: seeds of one subfolder, 0 for no subfolders.
    class_weights: instead of class_index, pairs of a class and its weight in the label of all images, in the order of
    classes. batch: images in one pass, on which the last bits of a map can depend; None in folders of earlier versions.
    latents_sha256, latents_kind: hash and kind of the latents of the run, z, w or w+; None for seeds. mix_seed,
    mix_rows: another seed, and the rows of w+ that are those of it, as text; None without style mixing. shard_size,
    dtype, compression: seeds of a shard, and what shards contain; None where each map is a file.
    """

    model_sha256: Annotated[str, msgspec.Meta(max_length=64)]
    types: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=MAX_TYPES)]
    psi: Annotated[float, msgspec.Meta(ge=-PSI_LIMIT, le=PSI_LIMIT)] | None
    class_index: Annotated[int, msgspec.Meta(ge=0, le=MAX_DIM)] | None
    file_format: str
    digits: Annotated[int, msgspec.Meta(ge=1, le=MAX_DIGITS)]
    backend: str
    device: str
    precision: str | None = None
    seeds_per_folder: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] = SEEDS_PER_FOLDER
    class_weights: tuple[tuple[Annotated[int, msgspec.Meta(ge=0, le=MAX_DIM)], float], ...] | None = None
    batch: Annotated[int, msgspec.Meta(ge=1, le=MAX_BATCH)] | None = None
    latents_sha256: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    latents_kind: Kind | None = None
    mix_seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    mix_rows: Annotated[str, msgspec.Meta(max_length=_MOST_ROWS)] | None = None
    shard_size: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARD_SIZE)] | None = None
    dtype: str | None = None
    compression: str | None = None

    @property
    def shard_format(self) -> ShardFormat | None:
        """The format of the shards; None where each map is a file."""
        return SHARD_FORMATS.get(self.file_format)

    @property
    def item(self) -> str:
        """What a number of the run is of, seed or latent; names of files begin with it."""
        return "seed" if self.latents_sha256 is None else "latent"

    @property
    def label(self) -> int | dict[int, float] | None:
        """The class or the weights of classes of all images, as `Engine` takes them."""
        return self.class_index if self.class_weights is None else dict(self.class_weights)

    def file_names(self, seed: int) -> dict[str, str]:
        """Names of a seed's maps relative to the folder, {type: name}: `seed000042_depth.png`, `latent0007_depth.png`.

        Seeds below `seeds_per_folder` are in the folder itself. Seed 1042 is in the subfolder 00001 of seeds 1000 to
        1999. The name depends on the seed alone, so a larger run extends a folder.
        """
        return self.names_of(self.stem(seed))

    def stem(self, seed: int) -> str:
        """The beginning of the names of a seed's maps: `00001/seed001042`."""
        number = seed // self.seeds_per_folder if self.seeds_per_folder else 0
        return (f"{number:05d}/" if number else "") + seed_stem(seed, self.digits, self.item)

    def names_of(self, stem: str) -> dict[str, str]:
        """The names of maps that begin with `stem`, {type: name}."""
        suffix = get_format(self.file_format).suffix
        return {name: f"{stem}_{name}{suffix}" for name in self.types}


@dataclass(frozen=True)
class RunFile:
    """The contents of run.json: settings, the seeds of all runs in the folder, and facts for readers of the maps.

    Where the record has latents, `seeds` are their numbers. They ascend, but in a folder of shards they have the order
    of the shards.
    """

    record: RunRecord
    seeds: Seeds
    facts: dict[str, Any]


def class_weights(class_index: int | Mapping[int, float] | None) -> tuple[tuple[int, float], ...] | None:
    """The field of a record for weights of classes; None for a class."""
    if not isinstance(class_index, Mapping):
        return None
    return tuple(sorted((int(index), float(weight)) for index, weight in class_index.items()))


def read_run(outdir: Path) -> RunFile | None:
    """run.json of a folder, None for a new folder.

    Raises UserError for a run.json of another version or that is not a regular file, and for a folder that has maps
    and no run.json.
    """
    path = outdir / RUN_FILE
    try:
        return _parse(read_bytes(path, follow=False))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise UserError(f"`outdir={outdir}`: its {RUN_FILE} cannot be read ({error.strerror}); remove it") from None
    except (ValueError, UserError) as error:
        raise UserError(
            f"`outdir={outdir}`: its {RUN_FILE} was not written by this version ({error}); choose another `outdir`"
        ) from None
    name = next(chain(maps_in(outdir), shards_in(outdir)), None)
    if name is not None and not path.exists():  # another shard can write both in the meantime
        raise UserError(
            f"`outdir={outdir}`: it contains maps ({name}) and no {RUN_FILE} that describes them; "
            "choose another `outdir`"
        )
    return None


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


def check_same(outdir: Path, found: RunRecord, record: RunRecord, another: str = "another `model`") -> None:
    """Raise UserError if a folder was written with other settings than `record`.

    another: words for a model with another hash.
    """
    if found.item != record.item:
        raise UserError(f"`outdir={outdir}`: it contains maps of {found.item}s; choose another `outdir`")
    own, given = _shown(found), _shown(record)
    if found.file_format != record.file_format:  # the others follow from it
        own = {name: value for name, value in own.items() if name not in _OF_FORMAT}
    different = [f"{value}, not {given[name].value}" for name, value in own.items() if value != given[name]]
    if found.model_sha256 != record.model_sha256:
        different.append(another)
    if (found.latents_kind, found.latents_sha256) != (record.latents_kind, record.latents_sha256):
        different.append("other `latents`")
    if different:
        raise UserError(
            f"`outdir={outdir}`: its maps have other settings: {'; '.join(different)}; use the same, or choose another "
            "`outdir`"
        )


class _Setting(NamedTuple):
    """A setting for a message, with the name of the parameter that sets it."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"`{self.name}={self.value}`"


_OF_FORMAT = ("seeds_per_folder", "shard_size", "dtype", "compression")


def _shown(record: RunRecord) -> dict[str, _Setting]:
    """The settings of a record but the hash of the model."""
    weights = record.class_weights and ",".join(f"{index}:{weight}" for index, weight in record.class_weights)
    values = {
        "types": ",".join(record.types),
        "psi": record.psi,
        "class_index": weights or ("none" if record.class_index is None else record.class_index),
        "file_format": record.file_format,
        "digits": record.digits,
        "backend": record.backend,
        "device": record.device,
        "precision": record.precision or "that of the model",
        "seeds_per_folder": record.seeds_per_folder,
        "batch": record.batch,
        "mix_seed": "none" if record.mix_seed is None else record.mix_seed,
        "mix_rows": record.mix_rows or "none",
        "shard_size": record.shard_size,
        "dtype": record.dtype,
        "compression": record.compression,
    }
    return {name: _Setting(name, str(value)) for name, value in values.items()}


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
    """Raises ValueError or UserError for another format and for missing and wrong fields."""
    values = parse_json(data)
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
    with atomic_write(outdir / RUN_FILE) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


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
