"""The settings of an output folder: `RunRecord`, and the check that a continued run has the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from sgi.engine.arguments import MAX_BATCH, PSI_LIMIT
from sgi.engine.artifact import MAX_DIM, MAX_TYPES
from sgi.engine.errors import UserError
from sgi.engine.latents_file import Kind
from sgi.engine.seeds import DIGITS, SEED_MAX, seed_stem
from sgi.engine.shards import SHARD_FORMATS, ShardFormat
from sgi.engine.shards.shard_format import MAX_SHARD_SIZE
from sgi.engine.writers import get_format

SEEDS_PER_FOLDER = 1000
MAX_DIGITS = len(str(SEED_MAX))
LEAST_DIGITS = {"seed": DIGITS, "latent": 4}
"""What a number is of -> digits of it in file names, unless the user chooses others."""
_MOST_ROWS = 200  # characters of a list of rows of w+


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


def class_weights(class_index: int | Mapping[int, float] | None) -> tuple[tuple[int, float], ...] | None:
    """The field of a record for weights of classes; None for a class."""
    if not isinstance(class_index, Mapping):
        return None
    return tuple(sorted((int(index), float(weight)) for index, weight in class_index.items()))


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
