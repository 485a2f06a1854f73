"""The models and pools of a study, loaded once in each process."""

from __future__ import annotations

from functools import lru_cache

from sgi.engine import bundle, intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.job import sampling_of
from sgi.trainer.offsets.open_generator import open_generator
from sgi.trainer.offsets.pool import Pool, build_pool
from sgi.trainer.offsets.seed_splits import fitting_seeds, scoring_seeds
from sgi.trainer.studies.evaluation.study import Study
from sgi.trainer.studies.evaluation.tasks import BUNDLED, Row
from sgi.trainer.teachers import Teacher
from sgi.trainer.teachers.classes import target_type

CACHE = "teacher"
"""Subfolder of a study's folder for the teacher's codes."""


class StudyContext:
    """The generator and the teacher of a study, and its pools, which are built at first use.

    kinds: type -> its description as the teacher predicts it, including `image`.
    """

    def __init__(self, study: Study) -> None:
        self.study = study
        device = find_device(study.device, study.threads)
        self.generator: Generator = open_generator(study.generator, device, study.backend)
        self.teacher: Teacher = teachers.load_teacher(study.teacher, study.device)
        self.kinds = {name: target_type(self.teacher, study.kind(name)) for name in study.types}
        self.kinds[intrinsics.IMAGE] = intrinsics.image_of(self.generator.config.img_channels)
        for kind in self.kinds.values():
            intrinsics.check_channels(kind, self.generator.config.img_channels)
        self._held: Pool | None = None
        self._fitting: tuple[int, Pool] | None = None

    def held(self) -> Pool:
        """The pictures to score on."""
        if self._held is None:
            self._held = self._pool(scoring_seeds(self.study.holdout, self.study.split))
        return self._held

    def fitting(self, stream: int) -> Pool:
        """The pictures that a stream's fits use; only those of the last stream stay in memory."""
        if self._fitting is None or self._fitting[0] != stream:
            self._fitting = stream, self._pool(fitting_seeds(self.study.images, stream))
        return self._fitting[1]

    def _pool(self, seeds: range) -> Pool:
        study = self.study
        cache = study.folder / CACHE
        return build_pool(self.generator, self.teacher, study.types, seeds, study.sampling, cache=cache)


@lru_cache(maxsize=1)
def open_context(study: Study) -> StudyContext:
    """The context of a study, made once in each process."""
    return StudyContext(study)


def given_rows(study: Study) -> list[Row]:
    """A row for every offset in the study's folder of offsets whose type the study has.

    Raises UserError for a folder of the user without offset files of these types, and an offset of another
    generator or sampling.
    """
    if study.offsets is None:
        return []
    paths = sorted(study.offsets.glob("*.safetensors"))
    if not paths:
        raise UserError(f"`offsets={study.offsets}`: no offset files there; make some with `sgi-engine train`")
    rows = []
    for path in paths:
        offset = Offset.load(path)
        offset.check_generator(study.generator_sha256)
        if sampling_of(offset) != study.sampling:
            raise UserError(
                f"`offsets={path}`: fitted under another sampling; pass the `psi`, `cutoff`, `noise_mode` and "
                "`class_index` it was fitted under"
            )
        bundled = path == bundle.offset(offset.type)
        if offset.type in study.types:
            rows.append(Row(offset.type, space=offset.space, given=BUNDLED if bundled else path.stem))
    if not rows and study.offsets != bundle.OFFSETS:
        raise UserError(f"`offsets={study.offsets}` has no effect: no offset there is of {', '.join(study.types)}")
    return rows
