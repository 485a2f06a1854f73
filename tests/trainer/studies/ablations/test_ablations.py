"""Ablations: their cases, changes to offsets, resuming, the plot, and the command."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from figure_values import interval, number
from PIL import Image
from recorded_progress import RecordedProgress
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
from sgi.trainer.studies.ablations import AblationReport
from sgi.trainer.studies.ablations.case_fits import CaseFits, changed, score_cases
from sgi.trainer.studies.ablations.cases import ABLATIONS, ALPHAS, cases_of

QUICK = FitSettings(steps=3, batch=4)


@pytest.fixture
def fits(generator, teacher, known_pools, tmp_path):
    return CaseFits(generator, teacher, known_pools.fitting, known_pools.held, tmp_path / "fits")


def cases(what, generator, images=64, settings=QUICK):
    return cases_of(what, ["albedo"], settings, images, generator.config)


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
    with pytest.raises(UserError, match="`what=layers`: choose from spaces, rows, images, alpha"):
        cases_of("layers", ["albedo"], QUICK, 64, generator.config)


def test_changes_to_an_offset(generator):
    def offset():
        return Offset("albedo", "w+", {"offset": np.ones((6, 8), np.float32)}, generator_sha256(generator))

    only = next(case for case in cases("rows", generator) if case.rows == (2,))
    assert np.nonzero(changed(offset(), only).tensors["offset"].any(axis=1))[0].tolist() == [2]
    half = next(case for case in cases("alpha", generator) if case.alpha == 0.5)
    assert (changed(offset(), half).tensors["offset"] == 0.5).all()


def test_offset_is_best_at_the_length_it_was_fitted(fits, generator):
    scored = score_cases("alpha", fits, cases("alpha", generator, settings=FitSettings(steps=100)))
    figures = scored.figures.figures
    fvu = {alpha: number(figures[f"albedo/alpha/{alpha:g}/fvu"]) for alpha in ALPHAS}
    assert min(fvu, key=fvu.__getitem__) == 1
    assert fvu[0] > 1
    assert number(figures["albedo/baseline/ridge/fvu"]) > fvu[1]
    assert scored.cases[0]["numbers"] == 48


@pytest.mark.parametrize("what", ABLATIONS)
def test_every_ablation_has_figures_and_a_plot(what, fits, generator):
    todo = cases(what, generator)
    scored = score_cases(what, fits, todo)
    for case in todo:
        figure = scored.figures.figures[f"{case.path}/fvu"]
        low, value, high = interval(figure)
        assert low <= value <= high
    (picture,) = scored.figures.pictures.values()
    assert np.asarray(Image.open(io.BytesIO(picture)).convert("L")).std() > 10
    report = AblationReport(what, 32, scored).to_dict()
    assert json.loads(json.dumps(report))["what"] == what


def test_interrupted_ablation_resumes(fits, generator):
    todo = cases("spaces", generator)
    # w and w+ are done after 3 steps each; the third fit is interrupted at its last step.
    with pytest.raises(KeyboardInterrupt):
        score_cases("spaces", fits, todo, RecordedProgress(stop_at=("spaces", 9)))
    assert [case.label for case in fits.missing(todo)] == ["style", "lora"]
    progress = RecordedProgress()
    score_cases("spaces", fits, todo, progress)
    assert progress.totals == {"spaces": 6}
    assert {note.split()[2] for note in progress.notes["spaces"]} == {"style", "lora"}
    assert not fits.missing(todo)
    progress = RecordedProgress()
    again = score_cases("spaces", fits, todo, progress)
    assert not any(progress.done.values())
    assert all(case["seconds"] is None for case in again.cases)
    # Another setting is another fit.
    assert len(fits.missing([replace(todo[0], settings=replace(todo[0].settings, steps=4))])) == 1


def test_estimates_the_time_of_a_fit(generator, teacher):
    timing = time_fit(generator, teacher, [intrinsics.get("albedo")], Sampling(), QUICK)
    assert timing.picture > 0
    assert np.isfinite(timing.step)
    # A fit that changes its coordinates takes longer than its steps.
    assert Timing(1.0, 2.0).fit(100) == 200 < Timing(1.0, 2.0).fit(1000) / 10


def test_command(tmp_path, generator, teacher, monkeypatch):
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
