"""The settings that all tasks of an evaluation share, in a form that can be sent to worker processes."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic, Kind
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.open_generator import AUTO
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.studies.evaluation.tasks import BUNDLED, Row, Task

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of all tasks; hashable and picklable.

    generator: file. teacher: spec. generator_sha256, teacher_sha256: their hashes. types: names of the types whose
    targets the pools contain. sampling, images, holdout, split: of the pools. steps, batch, lr, precision: of the fits;
    lr None is the default of the space. device, backend, threads: of each task. folder: of results, fits and cached
    targets. offsets: folder of existing offsets to score. own: descriptions of the types that are not built in.
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
    backend: str = AUTO
    threads: int = 1
    offsets: Path | None = None
    own: tuple[Intrinsic, ...] = ()

    def kind(self, name: str) -> Kind:
        """A type's own description where it has one, else the name of a built-in type."""
        return next((kind for kind in self.own if kind.name == name), name)

    def settings(self, row: Row, stream: int) -> FitSettings:
        """Settings of the fit of a row."""
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
        """The file of the result of a task."""
        stem = re.sub(r"[^\w-]+", "-", task.row.label).strip("-")
        return self.folder / "results" / f"{stem}-{task.stream}-{self.key(task)[:12]}.npz"

    def given(self, row: Row) -> Offset:
        """The existing offset that a row scores."""
        assert self.offsets is not None
        return Offset.load(self.offsets / f"{row.type if row.given == BUNDLED else row.given}.safetensors")
