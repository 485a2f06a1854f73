"""The relighting study from settings to files."""

from __future__ import annotations

import json

import pytest
import torch
from recorded_progress import RecordedProgress

from sgi.engine.errors import UserError
from sgi.engine.generator import save_generator
from sgi.trainer import teachers
from sgi.trainer.studies.relighting import RelightingSettings, relight
from sgi.trainer.studies.relighting.directions import load_directions


@pytest.fixture
def settings(tmp_path, generator, light_teacher, offsets, monkeypatch):
    """2 directions, 3 steps, on 3 scenes of 16 px."""
    monkeypatch.setattr(teachers, "load_teacher", lambda spec, device: light_teacher)
    save_generator(tmp_path / "tiny.safetensors", generator)
    paths = tuple(tmp_path / f"{offset.type}.safetensors" for offset in offsets)
    for path, offset in zip(paths, offsets, strict=True):
        offset.save(path)
    return {
        "generator": tmp_path / "tiny.safetensors", "offsets": paths, "out": tmp_path / "out", "count": 2, "steps": 3,
        "from_layer": 1, "scenes": 3,
    }  # fmt: skip


def test_directions_are_found_measured_and_written(settings, generator):
    progress = RecordedProgress()
    report = relight(RelightingSettings(**settings), progress)
    assert progress.done == {"search for directions": 3}
    assert report.measured.lights == 2
    out = settings["out"]
    found = load_directions(out / "directions.npy", generator.config)
    assert torch.equal(found, report.directions)
    report.write(out)
    names = {"directions.npy", "relight.json", "relit-pictures.png", "maps-of-one-scene-under-every-light.png"}
    assert {path.name for path in out.iterdir()} == names
    assert json.loads((out / "relight.json").read_text())["scenes"] == 3
    again = relight(RelightingSettings(**settings | {"directions": out / "directions.npy"}))
    assert again.to_dict() == report.to_dict()


def test_offsets_of_another_generator_are_required(settings):
    with pytest.raises(UserError, match="`offsets` is missing"):
        RelightingSettings(**settings | {"offsets": ()})
