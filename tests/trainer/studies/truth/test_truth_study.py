"""The truth study from settings to figures."""

from __future__ import annotations

import pytest

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.trainer import teachers
from sgi.trainer.studies.truth import TruthSettings, compare_with_truth


def test_offsets_in_files_are_compared_with_exact_maps(tmp_path, generator, teacher, known_offset, monkeypatch):
    monkeypatch.setattr(teachers, "load_teacher", lambda spec, device: teacher)
    save_generator(tmp_path / "tiny.safetensors", generator)
    tensors = {"offset": known_offset["offset"].numpy()}
    Offset("depth", "w+", tensors, generator_sha256(generator)).save(tmp_path / "depth.safetensors")
    settings = TruthSettings(
        generator=tmp_path / "tiny.safetensors", offsets=(tmp_path / "depth.safetensors",), rooms=2, steps=2
    )
    report = compare_with_truth(settings)
    assert report.rooms == 2
    assert report.to_dict()["inversion"]["steps"] == 2
    assert report.to_dict()["figures"]["depth/constant/fvu"]["value"] > 0


def test_offsets_of_another_generator_are_required(tmp_path):
    with pytest.raises(UserError, match="`offsets` is missing"):
        TruthSettings(generator=tmp_path / "tiny.safetensors")
