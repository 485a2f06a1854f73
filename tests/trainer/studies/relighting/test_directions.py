"""The search: shading changes, albedo stays, lights differ; and the files of directions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from recorded_progress import RecordedProgress
from tolerances import CLOSED_FORM

from sgi.engine.errors import UserError
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.offsets.teacher_targets import teacher_targets
from sgi.trainer.studies.relighting.directions import (
    NOTICEABLE,
    DirectionSettings,
    coarse,
    diversity,
    find_directions,
    load_directions,
    relit,
    save_directions,
)
from sgi.trainer.studies.relighting.relit_maps import pictures

QUICK = DirectionSettings(count=3, steps=40, batch=4, keep=20.0, lr=0.1, from_layer=1)


def changes(generator, teacher, directions):
    """Mean absolute changes of shading and albedo on held-out seeds."""
    ws = Sampling().ws(generator, scoring_seeds(8))
    images = (pictures(generator, latents, "none") for latents in (ws[:, None], relit(ws, directions)))
    before, after = (teacher_targets(teacher, image.flatten(0, 1), ("albedo", "shading")) for image in images)
    return {name: (after[name].unflatten(0, (8, -1)) - before[name][:, None]).abs().mean().item() for name in after}


def test_changes_shading_and_keeps_albedo(generator, light_teacher):
    progress = RecordedProgress()
    found = find_directions(generator, light_teacher, settings=QUICK, progress=progress)
    assert found.shape == (3, 6, 8)
    assert (found[:, :1] == 0).all()
    (notes,) = progress.notes.values()
    assert len(notes) == 40
    assert float(notes[-1].split()[1]) < float(notes[0].split()[1])
    change = changes(generator, light_teacher, found)
    assert change["shading"] > NOTICEABLE / 2
    free = changes(
        generator, light_teacher, find_directions(generator, light_teacher, settings=replace(QUICK, keep=0.0))
    )
    assert change["albedo"] / change["shading"] < 0.8 * free["albedo"] / free["shading"]
    assert torch.equal(found, find_directions(generator, light_teacher, settings=QUICK))


def test_diversity_grows_with_lights_that_differ():
    light = torch.zeros(1, 2, 64)
    assert diversity(light).item() == 0
    light[0, 0, :32] = light[0, 1, :32] = NOTICEABLE * 2**0.5
    same = diversity(light)
    light[0, 1] = light[0, 1].flip(0)
    different = diversity(light)
    # Gram matrices [[1, 1], [1, 1]] and the identity.
    torch.testing.assert_close(same, torch.tensor([3.0]).log() / 2, rtol=CLOSED_FORM, atol=CLOSED_FORM)
    torch.testing.assert_close(different, torch.tensor([4.0]).log() / 2, rtol=CLOSED_FORM, atol=CLOSED_FORM)


def test_coarse_shading_is_means_of_boxes():
    shading = torch.arange(256.0).reshape(1, 1, 16, 16).expand(2, 3, 1, 16, 16)
    boxes = coarse(shading)
    assert boxes.shape == (2, 3, 64)
    assert boxes[0, 0, 0] == (0 + 1 + 16 + 17) / 4


def test_search_refuses_unsuitable_teachers(generator, teacher, light_teacher, monkeypatch):
    with pytest.raises(UserError, match="`from_layer=6`: choose from 0 to 5"):
        find_directions(generator, light_teacher, settings=replace(QUICK, from_layer=6))
    monkeypatch.setattr(type(light_teacher), "types", ("albedo",))
    with pytest.raises(UserError, match="light does not predict shading"):
        find_directions(generator, light_teacher, settings=QUICK)
    monkeypatch.setattr(type(light_teacher), "types", ("albedo", "shading"))
    predict = type(light_teacher).__call__
    monkeypatch.setattr(
        type(light_teacher), "__call__", lambda self, image, types: predict(self, image.detach(), types)
    )
    with pytest.raises(UserError, match="light is not differentiable"):
        find_directions(generator, light_teacher, settings=QUICK)


def test_files_of_directions(generator, directions, tmp_path):
    path = tmp_path / "d.npy"
    save_directions(path, directions)
    assert torch.equal(load_directions(path, generator.config), directions)
    np.save(path, directions.numpy().astype(np.float64))  # as StyLitGAN's file is
    assert torch.equal(load_directions(path, generator.config), directions)
    for array, message in (
        (np.zeros((2, 5, 8)), r"needs \[K, 6, 8\], got \[2, 5, 8\]"),
        (np.zeros((0, 6, 8)), "finite floats"),
        (np.full((1, 6, 8), np.nan), "finite floats"),
        (np.zeros((1, 6, 8), int), "finite floats"),
        (np.array([{}]), "not a readable .npy file"),
    ):
        np.save(path, array, allow_pickle=True)
        with pytest.raises(UserError, match=message):
            load_directions(path, generator.config)
    with pytest.raises(UserError, match="no such file"):
        load_directions(tmp_path / "none.npy", generator.config)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "`count=0`"),
        ({"keep": -1.0}, "`keep="),
        ({"lr": float("inf")}, "`lr=inf`"),
        ({"batch": 0}, "`batch=0`"),
    ],
)
def test_settings_refuse(values, message):
    with pytest.raises(UserError, match=message):
        DirectionSettings(**values)
