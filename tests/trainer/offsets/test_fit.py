"""The fit: it finds what can be found, moves nothing else, and resumes exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from tolerances import FITTED_FVU

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.trainer.offsets import curvature
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.offsets.fit import FitSettings, batch_indices, fingerprint, fit, rate
from sgi.trainer.offsets.journal import Journal
from sgi.trainer.offsets.readout import readout
from sgi.trainer.offsets.score import evaluate
from sgi.trainer.offsets.spaces import DEFAULT_RANK, SPACES, get_space

SHORT = FitSettings(steps=60, batch=8)


class Killed(Exception):
    """Stands for a kill in the middle of a fit."""


def kill_at(step):
    def on_step(done, loss):
        if done >= step:
            raise Killed

    return on_step


def test_recovers_what_a_known_offset_shows(generator, known_pools):
    before = generator_sha256(generator)
    tensors = fit(generator, known_pools.fitting, "albedo", FitSettings(steps=150))
    rows = evaluate(generator, "albedo", "w+", tensors, known_pools.fitting, known_pools.held)
    assert rows["offset"]["fvu"] < FITTED_FVU
    assert min(row["fvu"] for name, row in rows.items() if name != "offset") > 0.1
    assert generator_sha256(generator) == before


def test_a_single_row_moves_all_layers(generator, known_pools):
    tensors = fit(generator, known_pools.fitting, "albedo", FitSettings(space="w", steps=1))
    assert tensors["offset"].shape == (1, 8)
    with torch.no_grad():
        ws = known_pools.held.ws
        row, rows = (generator.synthesize(ws + d, "none") for d in (tensors["offset"], tensors["offset"].expand(6, 8)))
    torch.testing.assert_close(row, rows, rtol=0, atol=0)


def test_coarse_rows_rest_until_a_fit_moves_on_and_never_in_one_too_short_to(generator, known_pools, monkeypatch):
    monkeypatch.setattr(curvature, "MOVES", (4,))
    before: list[torch.Tensor] = []
    monkeypatch.setattr(Descent, "move_on", lambda self, *rest: before.append(self.tensors()["offset"].detach()))
    fit(generator, known_pools.fitting, "albedo", FitSettings(steps=8))
    (rows,) = before
    assert not rows[:4].any()
    assert rows[4:].any(1).all()
    short = fit(generator, known_pools.fitting, "albedo", FitSettings(steps=5))["offset"]
    assert short.any(1).all()


@pytest.mark.parametrize("space", ["style", "lora"])
def test_other_spaces_show_what_a_known_offset_shows(space, generator, known_pools):
    tensors = fit(generator, known_pools.fitting, "albedo", FitSettings(space, steps=600))
    rows = evaluate(generator, "albedo", space, tensors, known_pools.fitting, known_pools.held)
    assert rows["offset"]["fvu"] < FITTED_FVU
    assert min(row["fvu"] for name, row in rows.items() if name != "offset") > 0.1


@pytest.mark.parametrize("space", ["w+", "style", "lora"])
def test_layers_before_the_first_stay_untouched(space, generator, known_pools):
    tensors = fit(generator, known_pools.fitting, "albedo", FitSettings(space, steps=3, from_layer=3))
    ws = known_pools.held.ws
    moved = get_space(space).styles(generator.synthesis, ws, tensors)
    layers = generator.synthesis.styled_layers()
    for layer, style, plain in zip(layers, moved, generator.synthesis.styles(ws), strict=True):
        assert torch.equal(style, plain) == (layer.row < 3)
    if space == "w+":
        assert tensors["offset"].shape == (6, 8)
    else:
        assert len(tensors) == sum(layer.row >= 3 for layer in layers) * {"style": 1, "lora": 3}[space]


def test_settings_hold_the_defaults_of_their_space():
    assert FitSettings("lora").lr == SPACES["lora"].lr != FitSettings("w+").lr == SPACES["w+"].lr
    assert (FitSettings("lora").rank, FitSettings("lora", rank=2).rank, FitSettings("w+").rank) == (
        DEFAULT_RANK,
        2,
        None,
    )


@pytest.mark.parametrize("change", [{"rank": 2}, {"from_layer": 1}, {"lr": 0.5}])
def test_a_fit_of_another_parametrisation_has_another_fingerprint(change, known_pools):
    one, other = (
        fingerprint("depth", FitSettings("lora", **settings), known_pools.fitting, "a", "b")
        for settings in ({}, change)
    )
    assert one != other


def test_first_step_is_one_warm_rate_of_adam(generator, known_pools):
    settings = FitSettings(steps=100, lr=0.5)
    tensors = fit(generator, known_pools.fitting, "depth", FitSettings("w", steps=1, lr=0.5))
    rms_w = known_pools.fitting.ws.square().mean().sqrt().item()
    # Adam's first step is the rate itself in every entry that has a gradient; a fit of 1 step has not decayed yet.
    assert tensors["offset"].abs().max().item() == pytest.approx(settings.lr * rms_w * 0.1, rel=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_resume_gives_the_same_offset_bit_for_bit(space, generator, known_pools, tmp_path):
    settings = replace(SHORT, space=space, lr=None, from_layer=2 if SPACES[space].layered else 0)
    whole = fit(generator, known_pools.fitting, "albedo", settings)
    journal = Journal(tmp_path, "albedo", "f" * 64)
    with pytest.raises(Killed):
        fit(generator, known_pools.fitting, "albedo", settings, journal, kill_at(40))
    steps = []
    resumed = fit(generator, known_pools.fitting, "albedo", settings, journal, lambda done, _: steps.append(done))
    assert steps[0] == 25
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    journal.finish()
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]
    assert [json.loads(line)["step"] for line in journal.log_path.read_text().splitlines()] == [
        10, 20, 30, 30, 40, 50, 60,
    ]  # fmt: skip


@pytest.mark.parametrize("killed", [20, 40, 55])
@pytest.mark.parametrize("space", ["w", "w+", "style"])
def test_resume_is_exact_across_a_change_of_coordinates(killed, space, generator, known_pools, tmp_path, monkeypatch):
    monkeypatch.setattr(curvature, "MOVES", (15, 30))
    monkeypatch.setattr(curvature, "PROBES", 10)
    settings = replace(SHORT, space=space, lr=None)
    whole = fit(generator, known_pools.fitting, "albedo", settings)
    journal = Journal(tmp_path, "albedo", "f" * 64)
    with pytest.raises(Killed):
        fit(generator, known_pools.fitting, "albedo", settings, journal, kill_at(killed))
    resumed = fit(generator, known_pools.fitting, "albedo", settings, journal)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_finished_fit_resumes_without_a_step(generator, known_pools, tmp_path):
    journal = Journal(tmp_path, "albedo", "f" * 64)
    first = fit(generator, known_pools.fitting, "albedo", SHORT, journal)
    target = []
    again = fit(
        generator, known_pools.fitting, "albedo", SHORT, journal, lambda done, loss: target.append((done, loss))
    )
    assert torch.equal(first["offset"], again["offset"])
    assert len(target) == 1
    assert target[0][0] == 60
    assert math.isnan(target[0][1])


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_checkpoint_that_cannot_be_used_is_refused(damage, generator, known_pools, tmp_path):
    journal = Journal(tmp_path, "albedo", "f" * 64)
    fit(generator, known_pools.fitting, "albedo", FitSettings(steps=1), journal)
    if damage == "cut":
        journal.checkpoint.write_bytes(journal.checkpoint.read_bytes()[:-300])
    else:
        journal.fingerprint = "e" * 64
    with pytest.raises(UserError, match="--no-resume"):
        fit(generator, known_pools.fitting, "albedo", FitSettings(steps=1), journal)
    journal.forget()
    fit(generator, known_pools.fitting, "albedo", FitSettings(steps=1), journal)


def test_a_changed_weight_is_found_out(generator, known_pools):
    def tamper(done, loss):
        with torch.no_grad():
            generator.synthesis.b8.conv1.weight[0, 0, 0, 0] += 1e-3

    with pytest.raises(RuntimeError, match="weights changed"):
        fit(generator, known_pools.fitting, "albedo", FitSettings(steps=1), on_step=tamper)


def test_divergence_names_the_flag(generator, known_pools):
    known_pools.fitting.codes["albedo"][:] = torch.nan
    with pytest.raises(UserError, match="--lr"):
        fit(generator, known_pools.fitting, "albedo", FitSettings(steps=1))


def test_bfloat16_fits_the_same_map(generator, known_pools):
    tensors = fit(generator, known_pools.fitting, "albedo", FitSettings(steps=150, precision="bf16"))
    with torch.no_grad():
        prediction = readout(generator.synthesize(known_pools.held.ws + tensors["offset"], "none"), "albedo")
    target = known_pools.held.codes["albedo"]
    assert (prediction - target).square().mean() / target.var(dim=0).mean() < FITTED_FVU


def test_rate_warms_up_and_decays_to_nothing():
    assert rate(0, 1000) == pytest.approx(0.1)
    assert rate(9, 1000) == 1
    assert rate(400, 1000) == 1
    assert rate(700, 1000) == pytest.approx(0.5)
    assert 0 < rate(999, 1000) < 1e-4


def test_batches_pass_over_every_picture():
    seen = torch.cat([batch_indices(step, 4, 10, seed=0) for step in range(10)])
    for one_pass in seen.split(10):
        assert sorted(one_pass.tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:20].tolist()
    assert seen[:10].tolist() != batch_indices(0, 10, 10, seed=1).tolist()


@pytest.mark.parametrize(
    ("settings", "flag"),
    [
        ({"space": "z"}, "--space"),
        ({"precision": "fp8"}, "--precision"),
        ({"steps": 0}, "--steps"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": math.nan}, "--lr"),
        ({"rank": 4}, "--rank 4: for --space lora"),
        ({"space": "lora", "rank": 0}, "--rank 0"),
        ({"space": "w", "from_layer": 1}, "--from-layer 1: one row moves every layer"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, flag):
    with pytest.raises(UserError, match=flag):
        FitSettings(**settings)
