"""Render a sample of the seeds of a folder again, and compare the maps with the files.

Hashes show that a file is the one that was written; only this shows that it is the map of the model.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sgi.engine.api import Engine, bundled_model
from sgi.engine.artifact import Artifact
from sgi.engine.backends import AUTO, DEFAULT_BATCH, Backend
from sgi.engine.codes import codes
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.generator_model import ExportedModel, ModelSource
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.latents_file import Latents, read_latents
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.rows import pad_rows
from sgi.engine.run import run_latents, shard_files
from sgi.engine.run.description import describe
from sgi.engine.run.job import Job
from sgi.engine.run.reading import read_maps
from sgi.engine.run.run_file import RunFile, with_equal_model
from sgi.engine.run.shard_files import shard_name
from sgi.engine.run.source import open_source
from sgi.engine.run.stores.store import Store
from sgi.engine.seeds import Seeds
from sgi.engine.shards.shard_format import CODES
from sgi.engine.writers import CodedFormat, get_format

FEW = 4
"""Seeds that are rendered unless the caller says how many."""
_LARGEST = 1e-4
"""Largest difference between fp32 backends, as a fraction of the range of a type; the step of a code comes on top."""
_RMS = {"fp16": 5e-3, "bf16": 2e-2}
"""The same in reduced precision, as RMS, because single pixels can differ by more."""
_FLOAT16 = 2**-11  # relative precision
_OTHER_CLASSES = 0.01
"""Share of the pixels of a segmentation whose class may differ, at the borders of classes."""


@dataclass(frozen=True)
class Difference:
    """A map that differs from its file by more than rounding.

    largest: largest difference as a fraction of the range, 1 for classes. share: of the numbers that differ.
    """

    seed: int
    type: str
    file: str
    largest: float
    share: float


@dataclass(frozen=True)
class Rendering:
    """The result of rendering seeds of a folder again.

    seeds: which. identical: seeds whose maps have the numbers of their files. rounded: seeds that differ by no more
    than the rounding of format and backends; largest: how much, as a fraction of the range. different: the others.
    backend, device: what rendered. another: whether these are not those of the folder. skipped: why nothing was
    rendered; empty where something was.
    """

    seeds: tuple[int, ...] = ()
    identical: int = 0
    rounded: int = 0
    largest: float = 0.0
    different: tuple[Difference, ...] = ()
    backend: str = ""
    device: str = ""
    another: bool = False
    skipped: str = ""


class ModelOfFolder(NamedTuple):
    """Where the model of a folder is: an exported model or a generator with its offsets; all None: the bundled model.

    latents: the files of latents of a run of latents. cache: keep the export of a generator.
    """

    model: str | Path | None = None
    generator: str | Path | None = None
    offsets: Sequence[str | Path | Offset] = ()
    alpha: float | None = None
    latents: Sequence[str | Path] = ()
    cache: bool = True


class Opened(NamedTuple):
    """The model of a folder and its latents.

    skipped: why there is none; empty where there is one. must: whether it is an error if it cannot run here.
    """

    source: ModelSource | None = None
    latents: Latents | None = None
    skipped: str = ""
    must: bool = False


def open_model(outdir: Path, run: RunFile, where: ModelOfFolder, must: bool, progress: Progress = SILENT) -> Opened:
    """The model that computed a folder, compared with run.json.

    must: whether a model that is not known is an error. Raises UserError for it, and for a model or latents that are
    not those of the folder.
    """
    record = run.record
    if where.generator is not None:
        facts = run.facts.get("model", {})
        source, _ = open_source(
            outdir, model=where.model, generator=where.generator, offsets=where.offsets, types=record.types,
            alpha=where.alpha, psi=record.psi, cutoff=facts.get("cutoff"), noise_mode=facts.get("noise_mode"),
            backend=record.backend, device=record.device, precision=record.precision, cache=where.cache,
            progress=progress,
        )  # fmt: skip
    else:
        given = {"offsets": list(where.offsets) or None, "alpha": where.alpha}
        refuse_ignored(given, "without `generator`")
        source = ExportedModel(bundled_model() if where.model is None else where.model)
    unknown = ""
    stored = None
    if record.latents_sha256 is not None:
        if where.latents:
            stored = read_latents(where.latents, source.latent_sizes, record.latents_kind)
            if stored.sha256 != record.latents_sha256:
                raise UserError("`latents`: not the latents of this folder, or in another order")
        else:
            unknown = "`latents`: the folder has maps of latents; name their files, in the order of the run"
    if not _is_model(run, source, stored):
        hashes = f"run.json has the SHA-256 {record.model_sha256[:12]}..., and this one {source.sha256[:12]}..."
        if where.model is not None or where.generator is not None:
            named = f"model={where.model}" if where.model is not None else f"generator={where.generator}"
            raise UserError(f"`{named}`: not the model of this folder: {hashes}")
        unknown = (
            f"the folder's model, SHA-256 {record.model_sha256[:12]}..., is not the bundled one; name it with `model` "
            "or `generator`"
        )
    if unknown and must:
        raise UserError(unknown)
    return Opened(skipped=unknown) if unknown else Opened(source, stored, must=must)


def render_again(
    store: Store, run: RunFile, finished: Seeds, count: int, opened: Opened, progress: Progress = SILENT
) -> Rendering:
    """Render `count` random seeds of the finished ones with the model of the folder, and compare them with its files.

    Raises UserError for a model that cannot run here, and for a format whose package is missing, if `opened.must`.
    """
    chosen = Seeds(range(seed, seed + 1) for seed in sorted(_sample(finished, count)))
    source, stored = opened.source, opened.latents
    if source is None or not chosen:
        return Rendering(skipped=opened.skipped or "no finished seeds")
    record = run.record
    try:
        if record.shard_format:
            record.shard_format.check(shard_files.settings_of(record, source.artifact.resolution))
        backend, another = _backend(source, run, run_latents.input_of(source.artifact, stored, record.mix_seed))
    except UserError as error:
        if opened.must:
            raise
        return Rendering(skipped=str(error))
    size = record.batch or DEFAULT_BATCH
    with Engine(backend, size) as engine, progress.stage("rendered again", len(chosen)) as stage:
        job = Job(store.folder, run.seeds, record)
        found: list[list[_Compared]] = []
        for seed, maps in _maps(engine, job, chosen, stored):
            files = _files(job, seed)
            with store.reading(files[record.types[0]].name):
                stored_maps = read_maps(job, source.artifact, job.seeds.index(seed))
            made = _as_stored(job, source.artifact, seed, maps)
            found.append(
                [
                    _compare(job, source.artifact, seed, name, stored_maps[name], made[name], store.shown(file))
                    for name, file in files.items()
                ]
            )
            stage.advance()
        different = tuple(one.difference for row in found for one in row if one.difference)
        wrong = sum(any(one.difference for one in row) for row in found)
        identical = sum(not any(one.largest for one in row) for row in found)
        largest = max((one.largest for row in found for one in row if not one.difference), default=0.0)
        return Rendering(
            tuple(chosen), identical, len(found) - identical - wrong, largest, different, engine.backend.name,
            engine.backend.device, another,
        )  # fmt: skip


def _sample(finished: Seeds, count: int) -> list[int]:
    choose = random.SystemRandom()  # others at each call, so that repeated calls see more of the folder
    return [finished[place] for place in choose.sample(range(len(finished)), min(count, len(finished)))]


def _is_model(run: RunFile, source: ModelSource, stored: Latents | None) -> bool:
    record = run.record
    if source.sha256 == record.model_sha256:
        return True
    if not set(record.types) <= set(source.artifact.type_names):
        return False
    given = replace(record, model_sha256=source.sha256)
    return with_equal_model(run, given, describe(source.artifact, record, stored)).model_sha256 == record.model_sha256


def _backend(source: ModelSource, run: RunFile, takes: str) -> tuple[Backend, bool]:
    """The backend of the folder, or the fastest here where it cannot run; and whether it is another."""
    record = run.record
    batch = record.batch or DEFAULT_BATCH
    try:
        return source.open(
            record.backend, record.device, record.types, batch, None, len(run.seeds), record.precision, input=takes
        ), False
    except UserError:
        return source.open(AUTO, AUTO, record.types, batch, None, len(run.seeds), None, input=takes), True


def _maps(
    engine: Engine, job: Job, chosen: Seeds, stored: Latents | None
) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
    """The maps of the chosen seeds, one after the other, in passes of the folder's batch."""
    rows = run_latents.latents_of(engine, job.record, stored)
    size = engine.batch
    batches = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    padded = (pad_rows(latent, size - len(latent)) for latent in map(rows.rows, batches))
    for batch, maps in zip(batches, rows.stream(engine, padded, job.record), strict=True):
        for row, seed in enumerate(batch):
            yield seed, {name: stack[row] for name, stack in maps.items()}


class _Compared(NamedTuple):
    """largest: largest difference, as a fraction of the range; 0 is identical. difference: if it is not rounding."""

    largest: float
    difference: Difference | None


def _as_stored(job: Job, artifact: Artifact, seed: int, maps: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Maps as the format of the folder stores them: rounded to codes or float16, or changed by a lossy compression."""
    if job.record.shard_format:
        return shard_files.as_stored(job, artifact, seed, maps)
    form = get_format(job.record.file_format)
    kinds = [artifact.output(name) for name in job.record.types]
    return {kind.name: form.decode(kind, form.encode(kind, maps[kind.name])) for kind in kinds}


def _files(job: Job, seed: int) -> dict[str, Path]:
    """The file with the map of each type: {type: path}; a shard has those of all types."""
    if job.record.shard_format:
        number = job.seeds.index(seed) // (job.record.shard_size or 1)
        return dict.fromkeys(job.record.types, job.outdir / shard_name(job.record, number))
    return job.files(seed)


def _compare(
    job: Job, artifact: Artifact, seed: int, name: str, stored: np.ndarray, made: np.ndarray, where: Path | str
) -> _Compared:
    """Compare a map [C, H, W] with the one that the folder stores at `where`, both as the format stores them."""
    file = str(where)
    kind, record = artifact.output(name), job.record
    if record.shard_format:
        coded, precise = record.dtype == CODES, _FLOAT16 if record.dtype == "float16" else 0.0
    else:
        coded, precise = isinstance(get_format(record.file_format), CodedFormat), 0.0
    if stored.shape != made.shape:
        return _Compared(1.0, Difference(seed, name, file, 1.0, 1.0))
    gap, step = _gap(kind, coded, stored, made)
    step = step or precise * max(abs(kind.low), abs(kind.high)) / (kind.high - kind.low)
    largest, share = float(gap.max()), float(np.mean(gap > 0))
    precision = record.precision or artifact.precision
    if kind.decoding == "palette":
        rounded = share <= _OTHER_CLASSES
    elif precision in _RMS:
        rounded = float(np.sqrt(np.mean(gap**2))) <= step + _RMS[precision]
    else:
        rounded = largest <= 1.001 * step + _LARGEST
    return _Compared(largest, None if rounded else Difference(seed, name, file, largest, share))


def _gap(kind: Intrinsic, coded: bool, stored: np.ndarray, made: np.ndarray) -> tuple[np.ndarray[Any, Any], float]:
    """Absolute differences as fractions of the range, and the step of the format; classes differ by 0 or 1."""
    if kind.decoding == "palette":
        return (stored != made).astype(np.float64), 0.0
    if not coded:
        return np.abs(stored.astype(np.float64) - made) / (kind.high - kind.low), 0.0
    one, other = codes(kind, stored), codes(kind, made)
    step = 1 / np.iinfo(one.dtype).max
    return np.abs(one.astype(np.float64) - other) * step, step
