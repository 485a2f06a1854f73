"""Ablations: their cases, what is done to an offset, resuming, the plot, and the command."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import sgi.trainer.teachers
from sgi.cli.ablate import ablate
from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.timing import Timing, time_fit
from sgi.trainer.studies.ablations.cases import ABLATIONS, ALPHAS, plan
from sgi.trainer.studies.ablations.run import Bench, changed, measure

QUICK = FitSettings(steps=3, batch=4)


@pytest.fixture
def bench(generator, teacher, known_pools, tmp_path):
    return Bench(generator, teacher, known_pools.fitting, known_pools.held, tmp_path / "fits")


def cases(what, generator, images=64, settings=QUICK):
    return plan(what, ["albedo"], settings, images, generator.config)


def test_cases(generator):
    assert [case.settings.space for case in cases("spaces", generator)] == ["w", "w+", "style", "lora"]
    assert len({case.settings.lr for case in cases("spaces", generator)}) == 3
    rows = cases("rows", generator)
    assert [c.settings.from_layer for c in rows if c.series == "fitted from"] == [0, 1, 3]
    assert [c.rows for c in rows if c.series == "only"] == [(row,) for row in range(6)]
    assert next(c.rows for c in rows if c.series == "without") == (1, 2, 3, 4, 5)
    assert [c.images for c in cases("images", generator)] == [1, 10, 64]
    assert [c.images for c in cases("images", generator, 2000)] == [1, 10, 100, 1000, 2000]
    assert len({case.fit for case in cases("alpha", generator)}) == 1
    with pytest.raises(UserError, match="--what layers: choose from spaces, rows, images, alpha"):
        plan("layers", ["albedo"], QUICK, 64, generator.config)


def test_changes_to_an_offset(generator):
    def offset():
        return Offset("albedo", "w+", {"offset": np.ones((6, 8), np.float32)}, generator_sha256(generator))

    only = next(case for case in cases("rows", generator) if case.rows == (2,))
    assert np.nonzero(changed(offset(), only).tensors["offset"].any(axis=1))[0].tolist() == [2]
    half = next(case for case in cases("alpha", generator) if case.alpha == 0.5)
    assert (changed(offset(), half).tensors["offset"] == 0.5).all()


def test_the_whole_offset_is_best_where_it_was_fitted(bench, generator):
    found = measure("alpha", bench, cases("alpha", generator, settings=FitSettings(steps=100)))
    fvu = {alpha: found["figures"][f"albedo/alpha/{alpha:g}/fvu"]["value"] for alpha in ALPHAS}
    assert min(fvu, key=fvu.__getitem__) == 1
    assert fvu[0] > 1
    assert found["figures"]["albedo/baseline/ridge/fvu"]["value"] > fvu[1]
    assert found["cases"][0]["numbers"] == 48


@pytest.mark.parametrize("what", ABLATIONS)
def test_every_ablation_has_figures_and_a_plot(what, bench, generator):
    todo = cases(what, generator)
    found = measure(what, bench, todo)
    for case in todo:
        figure = found["figures"][f"{case.path}/fvu"]
        assert figure["low"] <= figure["value"] <= figure["high"]
    (picture,) = found.pop("pictures").values()
    assert np.asarray(Image.open(io.BytesIO(picture)).convert("L")).std() > 10
    assert json.loads(json.dumps(found))["what"] == what


def test_a_stopped_ablation_goes_on_where_it_was(bench, generator):
    todo = cases("spaces", generator)
    target = []

    def stop(case, done, loss):
        target.append((case.label, done))
        if case.label == "style" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure("spaces", bench, todo, stop)
    assert [case.label for case in bench.missing(todo)] == ["style", "lora"]
    target.clear()
    measure("spaces", bench, todo, lambda case, done, loss: target.append((case.label, done)))
    assert {label for label, _ in target} == {"style", "lora"}
    assert not bench.missing(todo)
    target.clear()
    again = measure("spaces", bench, todo, lambda case, done, loss: target.append((case.label, done)))
    assert not target
    assert all(case["seconds"] is None for case in again["cases"])
    # Another setting is another fit.
    assert len(bench.missing([replace(todo[0], settings=replace(todo[0].settings, steps=4))])) == 1


def test_times_a_fit(generator, teacher):
    timing = time_fit(generator, teacher, [intrinsics.get("albedo")], Sampling(), QUICK)
    assert timing.picture > 0
    assert np.isfinite(timing.step)
    # A fit that changes its coordinates takes longer than its steps.
    assert Timing(1.0, 2.0).fit(100) == 200 < Timing(1.0, 2.0).fit(1000) / 10


def test_the_command(tmp_path, generator, teacher, monkeypatch):
    monkeypatch.setattr(sgi.trainer.teachers, "load_teacher", lambda spec, device: teacher)
    file, out = tmp_path / "tiny.safetensors", tmp_path / "out"
    save_generator(file, generator)
    app = typer.Typer()
    app.command()(ablate)
    flags = ["--what", "images", "--type", "albedo", "--generator", str(file), "--steps", "3", "--images", "20"]
    flags += ["--holdout", "6", "--out", str(out), "--threads", "1"]
    dry = CliRunner().invoke(app, [*flags, "--dry-run"], env={"COLUMNS": "200"})
    assert "images: 3 cases of 3 fits, about 1 min" in dry.output
    assert not out.exists()
    result = CliRunner().invoke(app, flags, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {"fits", "teacher", "images.png", "images.json"}
    figures = json.loads((out / "images.json").read_text())["figures"]
    assert figures["albedo/images/1/fvu"]["value"] > 0
    assert "ridge on w" in result.output
    refused = CliRunner().invoke(app, [*flags[:3], "edge", *flags[4:]])
    assert isinstance(refused.exception, UserError)
