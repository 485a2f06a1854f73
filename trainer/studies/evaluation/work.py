"""One task of a study, in a process of its own: fit, predict the held-out pictures, keep a few numbers of each.

Everything a task needs is named by a Study, which travels between processes, and everything it finds is one file,
which a stopped study finds again.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator, checkpoints
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.intrinsics import Intrinsic, Kind
from sgi.engine.offsets import Offset
from sgi.trainer.device import find_device
from sgi.trainer.measures.by_type import Statistics, measures_of, statistics
from sgi.trainer.offsets import baselines
from sgi.trainer.offsets.fit import FitSettings, fit
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.job import sampling_of
from sgi.trainer.offsets.pool import Pool, Sampling, build_pool
from sgi.trainer.offsets.score import OFFSET, predict, predictions
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.studies.evaluation.controls import controlled
from sgi.trainer.studies.evaluation.tasks import BUNDLED, Row, Task
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers.classes import target_type

FORMAT = 1
PERMUTED = "permuted"
# Of the random weights and of the order of permuted rows; any would do, and this one is written down.
SEED = 1
_KEPT, _TENSOR = "kept", "tensor"


@dataclass(frozen=True)
class Study:
    """What all tasks of a study share; hashable, and made of plain values.

    generator: file. generator_sha256, teacher_sha256: of what `generator` and `teacher` name. types: whose codes the
    pools hold. sampling, images, holdout, split: of the pools. steps, batch, lr, precision: of the fits; lr None is
    the space's own. device, threads: where a task computes. folder: of results, journals and the teacher's answers.
    own: descriptions of those types that are not built in.
    """

    generator: str
    teacher: str
    generator_sha256: str
    teacher_sha256: str
    types: tuple[str, ...]
    sampling: Sampling
    folder: Path
    images: int = 2000
    holdout: int = 256
    split: str = "holdout"
    steps: int = 1000
    batch: int = 16
    lr: float | None = None
    precision: str = "fp32"
    device: str = "cpu"
    threads: int = 1
    offsets: Path | None = None
    own: tuple[Intrinsic, ...] = ()

    def kind(self, name: str) -> Kind:
        """A type as the teacher is asked for it: the user's description, or the name of a built-in one."""
        return next((kind for kind in self.own if kind.name == name), name)

    def settings(self, row: Row, stream: int) -> FitSettings:
        """How a row is fitted."""
        settings = FitSettings(
            row.space, steps=self.steps, lr=self.lr, batch=self.batch, seed=stream, precision=self.precision,
            from_layer=row.from_layer,
        )  # fmt: skip
        return settings.for_type(intrinsics.get(self.kind(row.type)))

    def key(self, task: Task) -> str:
        """Hash of everything the result of a task depends on."""
        facts = [FORMAT, asdict(task), self.generator_sha256, self.teacher_sha256, asdict(self.sampling)]
        facts += [self.images, self.holdout, self.split]
        if task.row.given is None:
            facts.append(asdict(self.settings(task.row, task.stream)))
        else:
            facts.append(self.given(task.row).sha256)
        facts += [kind.to_dict() for kind in self.own if kind.name == task.row.type]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def result_path(self, task: Task) -> Path:
        """Where the result of a task lies."""
        stem = re.sub(r"[^\w-]+", "-", task.row.label).strip("-")
        return self.folder / "results" / f"{stem}-{task.stream}-{self.key(task)[:12]}.npz"

    def given(self, row: Row) -> Offset:
        """The existing offset that a row scores."""
        assert self.offsets is not None
        return Offset.load(self.offsets / f"{row.type if row.given == BUNDLED else row.given}.safetensors")


@dataclass(frozen=True)
class Result:
    """What a task found: the offset's tensors, by predictor what each measure kept of each picture, and the time."""

    tensors: dict[str, Tensor]
    kept: dict[str, Statistics]
    seconds: float

    def save(self, path: Path) -> None:
        """Write the file whole or not at all."""
        arrays: dict[str, NDArray] = {f"{_TENSOR}/{key}": tensor.numpy() for key, tensor in self.tensors.items()}
        for predictor, by_measure in self.kept.items():
            arrays |= {f"{_KEPT}/{predictor}/{key}": array.astype(np.float32) for key, array in by_measure.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, seconds=np.array(self.seconds), **arrays)

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        result = cls({}, {}, float(arrays.pop("seconds")))
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            if kind == _TENSOR:
                result.tensors[rest] = torch.from_numpy(array)
            else:
                predictor, _, key = rest.partition("/")
                result.kept.setdefault(predictor, {})[key] = array
        return result


class World:
    """A study's generator, teacher and pools, loaded and made when first asked for."""

    def __init__(self, study: Study) -> None:
        self.study = study
        device = find_device(study.device, study.threads)
        self.generator: Generator = checkpoints.load(study.generator, device)
        self.teacher: Teacher = load_teacher(study.teacher, study.device)
        self.kinds = {name: target_type(self.teacher, study.kind(name)) for name in study.types}
        self.kinds[intrinsics.IMAGE] = intrinsics.get(intrinsics.IMAGE)
        self._held: Pool | None = None
        self._fitting: tuple[int, Pool] | None = None

    def held(self) -> Pool:
        """The pictures that are scored on."""
        if self._held is None:
            self._held = self._pool(scoring_seeds(self.study.holdout, self.study.split))
        return self._held

    def fitting(self, stream: int) -> Pool:
        """The pictures that fits of a stream see; only the last stream's are kept in memory."""
        if self._fitting is None or self._fitting[0] != stream:
            self._fitting = stream, self._pool(fitting_seeds(self.study.images, stream))
        return self._fitting[1]

    def _pool(self, seeds: range) -> Pool:
        study = self.study
        cache = study.folder / "teacher"
        return build_pool(self.generator, self.teacher, study.types, seeds, study.sampling, cache=cache)


def given_rows(study: Study) -> list[Row]:
    """A row for every offset in the study's folder of offsets whose type the study has.

    Raises UserError for a folder without offset files, and an offset of another generator or sampling.
    """
    if study.offsets is None:
        return []
    paths = sorted(study.offsets.glob("*.safetensors"))
    if not paths:
        raise UserError(f"--offsets {study.offsets}: no offset files there; make some with `sgi-engine train`")
    rows = []
    for path in paths:
        offset = Offset.load(path)
        offset.check_generator(study.generator_sha256)
        if sampling_of(offset) != study.sampling:
            raise UserError(
                f"--offsets {path}: fitted under another sampling; pass the --trunc, --trunc-cutoff, --noise-mode and "
                "--class it was fitted under"
            )
        bundled = path == bundle.offset(offset.type)
        if offset.type in study.types:
            rows.append(Row(offset.type, space=offset.space, given=BUNDLED if bundled else path.stem))
    return rows


@lru_cache(maxsize=1)
def open_world(study: Study) -> World:
    """The world of a study, once for each process."""
    return World(study)


def run_task(study: Study, task: Task, on_step: Callable[[int, float], None] | None = None) -> Result:
    """Do a task, or find its result; an interrupted fit continues.

    Raises what a fit and `build_pool` raise.
    """
    path = study.result_path(task)
    if path.exists():
        return Result.load(path)
    world, row, began = open_world(study), task.row, time.monotonic()
    fitting, held = (controlled(pool, row.type, row.control) for pool in (world.fitting(task.stream), world.held()))
    generator = random_weights(world.generator) if row.random_weights else world.generator
    tensors, journal = {}, None
    if row.given is None:
        journal = FitCheckpoint(study.folder / "fits", path.stem.rpartition("-")[0], study.key(task))
        settings = study.settings(row, task.stream)
        tensors = fit(generator, fitting, world.kinds[row.type], settings, journal, on_step)
    else:
        offset = study.given(row)
        tensors = tensors_of(offset)
    kept = _keep(world.kinds[row.type], row, tensors, generator, fitting, held)
    result = Result(tensors, kept, time.monotonic() - began)
    result.save(path)
    if journal:
        journal.finish()
    return result


def _keep(
    kind: Intrinsic,
    row: Row,
    tensors: Mapping[str, Tensor],
    generator: Generator,
    fitting: Pool,
    held: Pool,
) -> dict[str, Statistics]:
    """Statistics of the offset, and where it is an ordinary w+ fit of all that stands beside it."""
    made = predictions(generator, kind, row.space, tensors, fitting, held, seed=SEED)
    if row.role in ("intrinsic", "control"):
        shuffled = permuted(tensors)
        made[PERMUTED] = lambda: predict(generator, held, kind, row.space, shuffled)
    else:
        made = {OFFSET: made[OFFSET]}
    target = held.codes[row.type].float()
    measures = measures_of(kind, baselines.mean_map(fitting.codes[row.type]))
    return {predictor: statistics(measures, make(), target) for predictor, make in made.items()}


def permuted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The rows of a w+ offset in another order: the right numbers in the wrong layers."""
    drawn = torch.Generator().manual_seed(SEED)
    return {key: tensor[torch.randperm(len(tensor), generator=drawn)] for key, tensor in tensors.items()}


def random_weights(generator: Generator) -> Generator:
    """A generator of the same shape as it is before any training, on the same device, frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fresh = Generator(generator.config)
    return fresh.to(generator.mapping.w_avg.device).eval().requires_grad_(False)
