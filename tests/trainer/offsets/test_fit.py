"""The fit: it recovers a known offset, leaves the generator unchanged, and resumes exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from tolerances import FITTED_FVU

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.descent import Descent
from sgi.trainer.offsets.fit import FitSettings, batch_indices, fingerprint, fit, rate
from sgi.trainer.offsets.fit_checkpoint import FitCheckpoint
from sgi.trainer.offsets.held_out_score import evaluate
from sgi.trainer.offsets.readout import readout
from sgi.trainer.offsets.spaces import DEFAULT_RANK, SPACES, get_space

ALBEDO, DEPTH = intrinsics.get("albedo"), intrinsics.get("depth")
SHORT = FitSettings(steps=60, batch=8)


class Killed(Exception):
    """Raised in the middle of a fit in place of a kill."""


def kill_at(step):
    def on_step(done, loss):
        if done >= step:
            raise Killed

    return on_step


def noting(starts, on_step):
    """`on_step` of a fit; its first step is appended to `starts`."""
    begun = False

    def noted(done, loss):
        nonlocal begun
        if not begun:
            starts.append(done)
        begun = True
        on_step(done, loss)

    return noted


def test_a_fit_recovers_the_maps_of_a_known_offset(generator, known_pools):
    before = generator_sha256(generator)
    tensors = fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=150))
    rows = evaluate(generator, ALBEDO, "w+", tensors, known_pools.fitting, known_pools.held)
    assert rows["offset"]["fvu"] < FITTED_FVU
    assert min(row["fvu"] for name, row in rows.items() if name != "offset") > 0.1
    assert generator_sha256(generator) == before


def test_a_single_row_changes_all_layers(generator, known_pools):
    tensors = fit(generator, known_pools.fitting, ALBEDO, FitSettings(space="w", steps=1))
    assert tensors["offset"].shape == (1, 8)
    with torch.no_grad():
        ws = known_pools.held.ws
        row, rows = (generator.synthesize(ws + d, "none") for d in (tensors["offset"], tensors["offset"].expand(6, 8)))
    torch.testing.assert_close(row, rows, rtol=0, atol=0)


def test_coarse_rows_are_frozen_before_preconditioning_but_not_in_short_fits(generator, known_pools, monkeypatch):
    monkeypatch.setattr(preconditioner, "SCHEDULE", (4,))
    before: list[torch.Tensor] = []
    monkeypatch.setattr(Descent, "precondition", lambda self, *rest: before.append(self.tensors()["offset"].detach()))
    fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=8))
    (rows,) = before
    assert not rows[:4].any()
    assert rows[4:].any(1).all()
    short = fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=5))["offset"]
    assert short.any(1).all()


@pytest.mark.parametrize("space", ["style", "lora"])
def test_fits_in_other_spaces_recover_the_maps_of_a_known_offset(space, generator, known_pools, monkeypatch):
    monkeypatch.setattr(preconditioner, "SCHEDULE", (100,))
    monkeypatch.setattr(preconditioner, "PROBES", 200)
    tensors = fit(generator, known_pools.fitting, ALBEDO, FitSettings(space, steps=300, batch=8))
    rows = evaluate(generator, ALBEDO, space, tensors, known_pools.fitting, known_pools.held)
    assert rows["offset"]["fvu"] < FITTED_FVU
    assert min(row["fvu"] for name, row in rows.items() if name != "offset") > 0.1


@pytest.mark.parametrize("space", ["w+", "style", "lora"])
def test_layers_before_from_layer_stay_unchanged(space, generator, known_pools):
    tensors = fit(generator, known_pools.fitting, ALBEDO, FitSettings(space, steps=3, from_layer=3))
    ws = known_pools.held.ws
    moved = get_space(space).styles(generator.synthesis, ws, tensors)
    layers = generator.synthesis.styled_layers()
    for layer, style, plain in zip(layers, moved, generator.synthesis.styles(ws), strict=True):
        assert torch.equal(style, plain) == (layer.row < 3)
    if space == "w+":
        assert tensors["offset"].shape == (6, 8)
    else:
        assert len(tensors) == sum(layer.row >= 3 for layer in layers) * {"style": 1, "lora": 3}[space]


def test_settings_contain_the_defaults_of_their_space():
    assert FitSettings("lora").lr == SPACES["lora"].lr != FitSettings("w+").lr == SPACES["w+"].lr
    assert (FitSettings("lora").rank, FitSettings("lora", rank=2).rank, FitSettings("w+").rank) == (
        DEFAULT_RANK,
        2,
        None,
    )


@pytest.mark.parametrize("change", [{"rank": 2}, {"from_layer": 1}, {"lr": 0.5}])
def test_a_fit_of_another_parametrisation_has_another_fingerprint(change, known_pools):
    settings = FitSettings("lora")
    one, other = (
        fingerprint(DEPTH, changed, known_pools.fitting, "a", "b")
        for changed in (settings, replace(settings, **change))
    )
    assert one != other


def test_first_step_is_one_warm_rate_of_adam(generator, known_pools):
    settings = FitSettings(steps=100, lr=0.5)
    tensors = fit(generator, known_pools.fitting, DEPTH, FitSettings("w", steps=1, lr=0.5))
    rms_w = known_pools.fitting.ws.square().mean().sqrt().item()
    # Adam's first step is the rate itself in every entry that has a gradient; a fit of 1 step has not decayed yet.
    assert tensors["offset"].abs().max().item() == pytest.approx(settings.lr * rms_w * 0.1, rel=1e-3)


@pytest.mark.parametrize("space", SPACES)
def test_resume_gives_the_same_offset_bit_for_bit(space, generator, known_pools, tmp_path):
    settings = replace(SHORT, steps=40, space=space, lr=None, from_layer=2 if SPACES[space].layered else 0)
    whole = fit(generator, known_pools.fitting, ALBEDO, settings)
    checkpoint = FitCheckpoint(tmp_path, "albedo", "f" * 64)
    with pytest.raises(Killed):
        fit(generator, known_pools.fitting, ALBEDO, settings, checkpoint, kill_at(40))
    steps = []
    resumed = fit(generator, known_pools.fitting, ALBEDO, settings, checkpoint, lambda done, _: steps.append(done))
    assert steps[0] == 25
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    checkpoint.finish()
    assert [path.suffix for path in tmp_path.iterdir()] == [".jsonl"]
    assert [json.loads(line)["step"] for line in checkpoint.log_path.read_text().splitlines()] == [
        10, 20, 30, 30, 40,
    ]  # fmt: skip


@pytest.mark.parametrize("space", ["w", "w+", "style"])
def test_resume_is_exact_across_preconditioning(space, generator, known_pools, tmp_path, monkeypatch):
    monkeypatch.setattr(preconditioner, "SCHEDULE", (15, 30))
    monkeypatch.setattr(preconditioner, "PROBES", 10)
    settings = replace(SHORT, space=space, lr=None)
    whole = fit(generator, known_pools.fitting, ALBEDO, settings)
    checkpoint = FitCheckpoint(tmp_path, "albedo", "f" * 64)
    starts: list[int] = []
    for killed in (20, 40, 55):  # before the first checkpoint, after that of step 25, and after that of step 50
        with pytest.raises(Killed):
            fit(generator, known_pools.fitting, ALBEDO, settings, checkpoint, noting(starts, kill_at(killed)))
    resumed = fit(generator, known_pools.fitting, ALBEDO, settings, checkpoint, noting(starts, kill_at(100)))
    assert starts == [0, 0, 25, 50]
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_a_finished_fit_resumes_without_further_steps(generator, known_pools, tmp_path):
    checkpoint = FitCheckpoint(tmp_path, "albedo", "f" * 64)
    settings = replace(SHORT, steps=10)
    first = fit(generator, known_pools.fitting, ALBEDO, settings, checkpoint)
    calls = []
    again = fit(
        generator, known_pools.fitting, ALBEDO, settings, checkpoint, lambda done, loss: calls.append((done, loss))
    )
    assert torch.equal(first["offset"], again["offset"])
    assert len(calls) == 1
    assert calls[0][0] == 10
    assert math.isnan(calls[0][1])


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_or_foreign_checkpoint_is_refused(damage, generator, known_pools, tmp_path):
    checkpoint = FitCheckpoint(tmp_path, "albedo", "f" * 64)
    fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=1), checkpoint)
    if damage == "cut":
        checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-300])
    else:
        checkpoint.fingerprint = "e" * 64
    with pytest.raises(UserError, match="pass `resume=False`"):
        fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=1), checkpoint)
    checkpoint.reset()
    fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=1), checkpoint)


def test_a_change_of_the_generator_is_detected(generator, known_pools):
    def tamper(done, loss):
        with torch.no_grad():
            generator.synthesis.b8.conv1.weight[0, 0, 0, 0] += 1e-3

    with pytest.raises(RuntimeError, match="weights changed"):
        fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=1), on_step=tamper)


def test_divergence_names_the_learning_rate(generator, known_pools):
    known_pools.fitting.codes["albedo"][:] = torch.nan
    with pytest.raises(UserError, match="smaller `lr`"):
        fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=1))


def test_bfloat16_fits_the_same_map(generator, known_pools):
    tensors = fit(generator, known_pools.fitting, ALBEDO, FitSettings(steps=150, batch=8, precision="bf16"))
    with torch.no_grad():
        prediction = readout(generator.synthesize(known_pools.held.ws + tensors["offset"], "none"), ALBEDO)
    target = known_pools.held.codes["albedo"]
    assert (prediction - target).square().mean() / target.var(dim=0).mean() < FITTED_FVU


def test_rate_warms_up_and_decays_to_zero():
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
    ("settings", "message"),
    [
        ({"space": "z"}, "`space=z`"),
        ({"precision": "fp8"}, "`precision=fp8`"),
        ({"steps": 0}, "`steps=0`"),
        ({"lr": 0.0}, "`lr="),
        ({"lr": math.nan}, "`lr="),
        ({"rank": 4}, "`rank=4`: for `space=lora`"),
        ({"space": "lora", "rank": 0}, "`rank=0`"),
        ({"space": "w", "from_layer": 1}, "`from_layer=1`: in `space=w` one row changes every layer"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        FitSettings(**settings)
