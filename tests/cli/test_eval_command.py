"""`eval` from the flags to the report, on a tiny generator."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

import sgi.trainer.teachers
from sgi.cli.errors import flags_of, with_flags
from sgi.cli.eval import eval
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, random_generator
from sgi.engine.offsets import Offset
from sgi.trainer.studies.evaluation import run_tasks
from sgi.trainer.teachers.analytic_teacher import open_teacher

QUICK = ("--steps", "4", "--fits", "2", "--images", "20", "--holdout", "8", "--jobs", "1", "--noise-mode", "none")


@pytest.fixture
def run(study, monkeypatch, tmp_path):
    """Calls the command on the study's generator file and returns its output."""
    monkeypatch.chdir(tmp_path)

    def call(*flags):
        app = typer.Typer()
        app.command()(eval)
        arguments = ("--generator", study.generator, *QUICK, *map(str, flags))
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
        if isinstance(result.exception, UserError):
            raise UserError(with_flags(str(result.exception), flags_of(typer.main.get_command(app))))
        assert result.exit_code == 0, result.output
        return result.output

    return call


def test_eval_writes_the_report_and_prints_the_verdict(run, tmp_path, generator, monkeypatch):
    given = tmp_path / "given"
    given.mkdir()
    tensors = {"offset": generator.mapping.w_avg.new_ones(1, 8).numpy()}
    Offset("depth", "w", tensors, generator_sha256(generator)).save(given / "mine.safetensors")
    flags = ("--type", "depth", "--offsets", given, "--reference", "another", "--control-fits", "1")
    printed = run(*flags)
    report = json.loads((tmp_path / "eval" / "report.json").read_text())
    labels = [row["label"] for row in report["rows"]]
    assert {"depth", "depth (file mine)", "image half-swap", "depth (from 16 px)", "depth half-swap (low-rank)"} < set(
        labels
    )
    assert report["rows"][0]["fits"] == 2
    assert [other["name"] for other in report["references"]] == ["inverse"]
    assert report["sections"] == {}
    assert (tmp_path / "eval" / "report.html").read_text().startswith("<!doctype html>")
    assert report["verdicts"]["summary"][0] in " ".join(printed.split())
    assert f"{len(report['rows']) + 1} tasks" in printed

    monkeypatch.setattr(run_tasks, "run_task", None)
    assert "0 to do" in run(*flags)


def test_user_defined_type_is_evaluated_like_the_others(run, tmp_path, monkeypatch):
    luminance = open_teacher("luminance")
    monkeypatch.setattr(sgi.trainer.teachers, "load_teacher", lambda spec, device: luminance)
    (tmp_path / "mine.yaml").write_text("{name: luminance, channels: 1, meaning: how bright, low: 0, high: 4}")
    run("--type-file", "mine.yaml", "--no-controls", "--fits", "1")
    report = json.loads((tmp_path / "eval" / "report.json").read_text())
    assert [row["label"] for row in report["rows"]] == ["luminance"]
    assert report["types"]["luminance"]["high"] == 4

    (tmp_path / "mine.yaml").write_text("{name: luminance, channels: 1, meaning: how bright, low: 0, high: 5}")
    assert "1 to do" in run("--type-file", "mine.yaml", "--no-controls", "--fits", "1", "--dry-run")


def test_dry_run_prints_the_time_and_writes_nothing(run, tmp_path):
    before = set(tmp_path.iterdir())
    printed = run("--type", "depth", "--no-controls", "--dry-run")
    assert "2 tasks, 2 to do: about 1 min on 1 processes" in printed
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--type", "image"), "--type: choose from depth"),
        (("--type", "nothing"), "--type nothing: choose from depth"),
        (("--holdout", "1"), "--holdout 1"),
        (("--noise-mode", "random"), "--noise-mode random"),
        (("--class", "1"), "--class: the generator is unconditional"),
        (("--offsets", "none"), "--offsets none: no offset files there"),
        (("--rooms", "messy"), "--rooms messy: choose from none, "),
        (("--device", "tpu"), "--device tpu"),
    ],
)
def test_errors_are_reported_before_the_fits(run, tmp_path, flags, message):
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError) as refused:
        run(*flags)
    assert message in str(refused.value)
    assert set(tmp_path.iterdir()) == before


def test_offsets_of_another_generator_or_sampling_are_refused(run, tmp_path, generator):
    given = tmp_path / "given"
    given.mkdir()
    tensors = {"offset": generator.mapping.w_avg.new_ones(1, 8).numpy()}
    other = random_generator(generator.config, seed=9)
    Offset("depth", "w", tensors, generator_sha256(other)).save(given / "depth.safetensors")
    with pytest.raises(UserError, match="was fitted on generator"):
        run("--offsets", given)
    Offset("depth", "w", tensors, generator_sha256(generator), psi=0.5).save(given / "depth.safetensors")
    with pytest.raises(UserError, match="another sampling"):
        run("--offsets", given)
