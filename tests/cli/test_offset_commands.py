"""`train` and `score` from the flags to the files, on a tiny generator."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
import torch
from PIL import Image
from recorded_progress import RecordedProgress
from run_command import run

import sgi.trainer.teachers
from sgi.cli.inspect import inspect
from sgi.cli.score import score
from sgi.cli.train import train
from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, random_generator, save_generator
from sgi.engine.intrinsics import MAP_TYPES
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.held_out_score import BASELINES, OFFSET
from sgi.trainer.offsets.score_report import compare_to_baseline
from sgi.trainer.offsets.spaces import SPACES

QUICK = ("--steps", "12", "--images", "40", "--holdout", "12", "--threads", "1")


@pytest.fixture(autouse=True)
def fake_teacher(monkeypatch, teacher):
    monkeypatch.setattr(sgi.trainer.teachers, "load_teacher", lambda spec, device: teacher)


@pytest.fixture
def file(tmp_path, generator):
    path = tmp_path / "tiny.safetensors"
    save_generator(path, generator)
    return path


def test_train_writes_complete_offset_files(tmp_path, file, generator, teacher):
    out = tmp_path / "out"
    printed = run(train, "--type", "all", "--generator", file, "--out", out, "--noise-mode", "none", *QUICK)
    suffixes = (".png", ".safetensors")
    assert {path.name for path in out.iterdir()} == {"fits", *(f"{t}{s}" for t in MAP_TYPES for s in suffixes)}
    assert all(path.suffix == ".jsonl" for path in (out / "fits").iterdir())
    for label in BASELINES.values():
        assert label in printed
    offset = Offset.load(out / "normal.safetensors")
    offset.check_generator(generator_sha256(generator))
    assert (offset.type, offset.space, offset.loss) == ("normal", "w+", "cosine+huber")
    assert (offset.noise_mode, offset.psi) == ("none", 1)
    assert offset.tensors["offset"].shape == (6, 8)
    assert offset.teacher == {"name": "inverse", "sha256": teacher.sha256}
    assert offset.fit["seeds"] == "2147483648-2147483687"
    assert offset.fit["lr"] == SPACES["w+"].lr
    assert offset.score["seeds"] == "0-11"
    assert list(json.loads(json.dumps(offset.score))["rows"]) == sorted([OFFSET, *BASELINES])
    # 8 pictures of 16 px in 3 rows, enlarged to 192 px, with gaps and labels.
    width, height = Image.open(out / "normal.png").size
    assert 0 < width - 8 * (192 + 8) < 150
    assert 0 < height - 3 * (192 + 8) < 80


def test_score_gives_the_figures_of_train(tmp_path, file):
    path = tmp_path / "a.safetensors"
    run(train, "--type", "albedo", "--generator", file, "--out", path, "--trunc", "0.7", "--no-preview", *QUICK)
    assert not path.with_suffix(".png").exists()
    offset = Offset.load(path)
    assert (offset.psi, offset.noise_mode) == (0.7, "const")
    printed = run(score, "--offset", path, "--generator", file, "--holdout", "12")
    assert f"{offset.score['rows'][OFFSET]['fvu']:.3f}" in printed
    assert f"{offset.score['rows']['ridge']['fvu']:.3f}" in printed


@pytest.mark.parametrize(
    ("fvu", "text"),
    [
        (0.227, "FVU 0.227, 0.45 of the best baseline's 0.501 (ridge on w)."),
        (9.594, "FVU 9.594, not better than the best baseline's 0.501 (ridge on w): do not use this offset."),
    ],
)
def test_a_score_is_compared_with_the_best_baseline(fvu, text):
    score = {"rows": {OFFSET: {"fvu": fvu}, "ridge": {"fvu": 0.501}}, "best_baseline": "ridge"}
    assert compare_to_baseline(score).startswith(text)


def test_the_bundled_teacher_is_named_with_other_generators(tmp_path, file, monkeypatch):
    recorder = RecordedProgress()
    monkeypatch.setattr("sgi.cli.train.progress", lambda quiet: nullcontext(recorder))
    for flags in (("--teacher", "bundled"), ("--teacher", "analytic:sobel")):
        run(train, "--type", "depth", "--generator", file, "--out", tmp_path / "out", *flags, *QUICK, "--steps", "1")
    assert [text.partition(";")[0] for text in recorder.messages] == ["the bundled teacher is trained on rooms"]


def test_lora_from_a_row(tmp_path, file, generator):
    path = tmp_path / "a.safetensors"
    flags = ("--space", "lora", "--rank", "2", "--from-layer", "3")
    printed = run(train, "--type", "albedo", "--generator", file, "--out", path, *flags, *QUICK)
    assert "lora of rank 2 from row 3 offset" in printed
    offset = Offset.load(path)
    offset.check_generator(generator_sha256(generator), generator.config)
    assert (offset.fit["rank"], offset.fit["from_layer"], offset.fit["lr"]) == (2, 3, SPACES["lora"].lr)
    assert "from row 3" in run(score, "--offset", path, "--generator", file, "--holdout", "12")
    assert "lora of 4 layers" in run(inspect, path)


def test_split_selects_the_scoring_seeds(tmp_path, file):
    path = tmp_path / "a.safetensors"
    run(train, "--type", "albedo", "--generator", file, "--out", path, "--split", "choosing", *QUICK)
    assert Offset.load(path).score["seeds"] == "1073741824-1073741835"


def test_an_interrupted_command_continues(tmp_path, file, monkeypatch):
    flags = ("--type", "depth", "--generator", file, *QUICK, "--steps", "40")
    run(train, *flags, "--out", tmp_path / "whole.safetensors")
    recorder = RecordedProgress(stop_at=("depth", 30))
    monkeypatch.setattr("sgi.cli.train.progress", lambda quiet: nullcontext(recorder))
    with pytest.raises(AssertionError):
        run(train, *flags, "--out", tmp_path / "cut.safetensors")
    assert not (tmp_path / "cut.safetensors").exists()
    recorder.stop_at = None
    run(train, *flags, "--out", tmp_path / "cut.safetensors")
    assert recorder.counts["depth"] == [10, 10, 10, 25, 5, 10]
    whole, cut = (Offset.load(tmp_path / f"{name}.safetensors") for name in ("whole", "cut"))
    assert whole.sha256 == cut.sha256


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "--type is missing"),
        (
            ("--type", "dept"),
            "--type dept: choose from depth, normal, albedo, shading, edges, segmentation, mask-CLASS, all, or",
        ),
        (("--type", "image"), "--type image"),
        (("--type", "segmentation"), "--type segmentation: teacher inverse"),
        (("--type-file", "mine.yaml"), "--type-file mine.yaml: no such file"),
        (("--type", "all", "--out", "x.safetensors"), "--out x.safetensors: 4 types need a folder"),
        (("--type", "depth", "--out", "x.txt"), "--out x.txt: the name of an offset file ends in .safetensors"),
        (("--type", "depth", "--generator", "none.safetensors"), "none.safetensors: no such file"),
        (("--type", "depth", "--space", "z"), "--space z: choose from w, w+"),
        (
            ("--type", "depth", "--loss", "cosine+l1"),
            "--loss cosine is for normals; choose another loss for --type depth",
        ),
        (("--type", "depth", "--noise-mode", "random"), "--noise-mode random"),
        (("--type", "depth", "--precision", "fp16"), "--precision fp16"),
        (("--type", "depth", "--device", "tpu"), "--device tpu"),
    ],
)
def test_train_refuses(flags, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        run(train, *flags)
    assert message in str(refused.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--holdout", "1"), "--holdout 1"),
        (("--seed", "2048"), "--seed 2048"),
        (("--split", "fitting"), "--split fitting"),
        (("--from-layer", "6"), "--from-layer 6: the generator has rows 0 to 5"),
        (("--class", "1"), "--class: the generator is unconditional"),
    ],
)
def test_train_refuses_before_it_renders(flags, message, tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        run(train, "--type", "depth", "--generator", file, *flags)
    assert message in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_score_refuses_the_offset_of_another_generator(tmp_path, file, generator):
    path, other = tmp_path / "a.safetensors", tmp_path / "other.safetensors"
    run(train, "--type", "albedo", "--generator", file, "--out", path, *QUICK)
    save_generator(other, random_generator(generator.config, seed=9))
    with pytest.raises(UserError, match="was fitted on generator"):
        run(score, "--offset", path, "--generator", other)


def test_score_refuses_invalid_requests(tmp_path, file, generator, monkeypatch):
    monkeypatch.setattr(bundle, "OFFSETS", tmp_path / "none")
    with pytest.raises(UserError, match="--type and --offset: pass only one of the two"):
        run(score, "--type", "depth", "--offset", file)
    with pytest.raises(UserError, match=r"depth.safetensors: no such file"):
        run(score, "--type", "depth", "--generator", file)
    bare = Offset("depth", "w+", {"offset": torch.zeros(6, 8).numpy()}, generator_sha256(generator))
    bare.save(tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="does not contain the pictures it was fitted on"):
        run(score, "--offset", tmp_path / "bare.safetensors", "--generator", file)
