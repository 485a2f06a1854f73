"""`train` with analytic teachers, from the spec to the offset file, with and without a cache."""

from __future__ import annotations

from typing import Any

import pytest

from sgi.cli.score import score
from sgi.cli.train import train
from sgi.engine.generator import save_generator
from sgi.engine.offsets import Offset
from sgi.trainer.teachers import load_teacher
from sgi.trainer.teachers.analytic_teacher import AnalyticTeacher

QUICK: dict[str, Any] = {"steps": 2, "images": 20, "holdout": 8, "threads": 1, "precision": "fp32", "preview": False}


@pytest.fixture
def file(tmp_path, generator):
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator)
    return path


def test_edges_by_sobel_with_a_cache(tmp_path, file, monkeypatch):
    batches = []
    plain = AnalyticTeacher.codes

    def counted(self, image, types):
        batches.append(1)
        return plain(self, image, types)

    monkeypatch.setattr(AnalyticTeacher, "codes", counted)
    flags: dict[str, Any] = {"generator": file, "teacher": "analytic:sobel", "cache": tmp_path / "cache"}
    offsets = []
    for name in ("one", "two"):
        out = tmp_path / f"{name}.safetensors"
        train(types=["edges"], out=out, workdir=tmp_path / name, **flags, **QUICK)
        offsets.append(Offset.load(out))
        assert len(batches) == 2  # one to fit on and one to score on, in the first run only
    score(offsets=[tmp_path / "one.safetensors"], holdout=8, threads=1, **flags)
    assert len(batches) == 2
    teacher = load_teacher("analytic:sobel")
    assert offsets[0].teacher == {"name": "analytic sobel", "sha256": teacher.sha256}
    assert (offsets[0].tensors["offset"] == offsets[1].tensors["offset"]).all()


def test_a_type_from_a_file(tmp_path, file):
    described = tmp_path / "luminance.yaml"
    described.write_text("{name: luminance, channels: 1, meaning: BT.709 luma of the picture}")
    out = tmp_path / "luminance.safetensors"
    kinds: dict[str, Any] = {"types": ["luminance"], "type_files": [described], "teacher": "analytic:luminance"}
    train(generator=file, out=out, **kinds, **QUICK)
    offset = Offset.load(out)
    assert offset.type == "luminance"
    assert offset.semantics["meaning"] == "BT.709 luma of the picture"
