"""`sgi-engine export`: files and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import sgi.cli as cli
from sgi.engine import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset


@pytest.fixture
def files(tiny_generator, tmp_path, monkeypatch):
    """generator.safetensors, and depth and normal offsets fitted at psi 1 and 0.7, in the working folder."""
    monkeypatch.chdir(tmp_path)
    save_generator("generator.safetensors", tiny_generator)
    rows = np.random.RandomState(0).randn(tiny_generator.config.num_ws, 12).astype(np.float32)
    for name, psi in (("depth", 1.0), ("normal", 0.7)):
        Offset(name, "w+", {"offset": rows}, generator_sha256(tiny_generator), psi=psi).save(f"{name}.safetensors")
    return tmp_path


def export(*arguments):
    return cli.main(["export", "--generator", "generator.safetensors", *arguments])


def test_one_type(files, capsys):
    assert export("--offset", "normal.safetensors") == 0
    assert "verified on seeds 0 to 7" in capsys.readouterr().out
    artifact = Artifact.read("normal.onnx")
    assert (artifact.type_names, artifact.psi, artifact.noise_mode) == (("normal",), 0.7, "none")
    assert Engine.open("normal.onnx")(seeds=[0, 1])["normal"].shape == (2, 3, 16, 16)


def test_image_and_maps_in_one_file(files):
    flags = ("--type", "image", "--type", "depth", "--offset", "depth.safetensors", "--noise-mode", "const")
    assert export(*flags, "--trunc", "0.5", "--out", "pairs.onnx") == 0
    artifact = Artifact.read("pairs.onnx")
    assert (artifact.type_names, artifact.psi, artifact.noise_mode) == (("image", "depth"), 0.5, "const")


def test_a_model_that_takes_w_plus(files, capsys):
    assert export("--offset", "depth.safetensors", "--input", "w+") == 0
    artifact = Artifact.read("depth.onnx")
    assert artifact.inputs == {"ws": (None, 6, 12)}
    assert Engine.open("depth.onnx")(ws=np.zeros((1, 6, 12)))["depth"].shape == (1, 1, 16, 16)
    capsys.readouterr()
    assert export("--offset", "depth.safetensors", "--input", "w", "--trunc", "0.5", "--out", "w.onnx") == 2
    assert "--trunc 0.5 has no effect with --input w, which is after truncation" in capsys.readouterr().err
    assert export("--offset", "depth.safetensors", "--input", "ws", "--out", "w.onnx") == 2
    assert "--input ws: choose from z, w, w+" in capsys.readouterr().err
    assert not (files / "w.onnx").exists()


def test_random_noise_is_drawn_from_a_seed_and_stored(files):
    shown = {}
    for name, noise in {"const": ["const"], "a": ["random", "--noise-seed", "7"], "b": ["random", "--noise-seed", "7"],
                        "zero": ["random"]}.items():  # fmt: skip
        assert export("--type", "image", "--noise-mode", *noise, "--out", f"{name}.onnx") == 0
        shown[name] = Engine.open(f"{name}.onnx")(seeds=[0])["image"]
    np.testing.assert_array_equal(shown["a"], shown["b"])
    assert np.abs(shown["a"] - shown["const"]).max() > 0.01
    assert np.abs(shown["a"] - shown["zero"]).max() > 0.01
    artifact = Artifact.read("a.onnx")
    assert (artifact.noise_mode, artifact.generator["noise_seed"]) == ("const", 7)
    assert Artifact.read("zero.onnx").generator["noise_seed"] == 0
    assert artifact.generator["sha256"] == Artifact.read("const.onnx").generator["sha256"]
    assert "noise_seed" not in Artifact.read("const.onnx").generator


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--type", "dept"], "unknown type 'dept'"),
        (["--type", "depth"], "--type depth: no offset for it; pass --offset FILE"),
        (["--offset", "missing.safetensors"], "missing.safetensors: no such file"),
        (["--offset", "generator.safetensors"], "not an offset file"),
        (["--offset", "depth.safetensors", "--offset", "depth.safetensors"], "a second offset of type depth"),
        (
            ["--offset", "depth.safetensors", "--offset", "normal.safetensors"],
            "--trunc: the offsets were",
        ),
        (["--type", "image", "--noise-mode", "loud"], "--noise-mode loud: choose from none, const, random"),
        (["--type", "image", "--noise-seed", "1"], "--noise-seed 1: only with --noise-mode random"),
        (["--type", "image", "--noise-mode", "random", "--noise-seed", "-1"], "--noise-seed -1: a seed is an integer"),
        (["--type", "image", "--out", "image.pt"], "--out image.pt: the name must end in .onnx"),
        (["--type", "image", "--out", "nowhere/image.onnx"], "there is no folder nowhere"),
        (["--type", "image", "--opset", "12"], "--opset 12: choose from 18 to 23"),
        (["--type", "image", "--precision", "int8"], "--precision int8: choose from fp32"),
        (["--type", "image", "--alpha", "nan"], "--alpha nan: must be finite"),
        (["--type", "image", "--name", "maps"], "--name: not an option of the format onnx; leave it out"),
        (["--type", "image", "--batch-profile", "1,2"], "--batch-profile 1,2: give three numbers"),
    ],
)
def test_errors_are_one_line_and_write_nothing(files, capsys, arguments, message):
    before = sorted(files.iterdir())
    assert export(*arguments) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert message in printed
    assert sorted(files.iterdir()) == before


def test_an_offset_of_another_generator(files, conditional_generator, capsys):
    save_generator("generator.safetensors", conditional_generator)
    assert export("--offset", "depth.safetensors") == 2
    assert "fitted on generator" in capsys.readouterr().err
