"""A study of a tiny generator in a file, with a teacher that is a formula."""

from __future__ import annotations

import hashlib

import pytest
from trainer_fixtures import InverseTeacher

from sgi.engine.generator import generator_sha256, save_generator
from sgi.trainer import teachers
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.studies.evaluation.context import open_context
from sgi.trainer.studies.evaluation.study import Study


class AnotherTeacher(InverseTeacher):
    """A second teacher, for references."""

    sha256 = hashlib.sha256(b"another").hexdigest()


@pytest.fixture
def study(tmp_path, generator, teacher, monkeypatch) -> Study:
    """12 steps on 40 pictures of 16 px, scored on 12."""
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator)
    others = {"another": AnotherTeacher()}
    monkeypatch.setattr(teachers, "load_teacher", lambda spec, device: others.get(spec, teacher))
    open_context.cache_clear()
    return Study(
        generator=str(path),
        teacher="inverse",
        generator_sha256=generator_sha256(generator),
        teacher_sha256=teacher.sha256,
        types=("depth", "albedo"),
        sampling=Sampling(),
        folder=tmp_path / "work",
        images=40,
        holdout=12,
        steps=12,
        batch=8,
    )
