"""Every type from a teacher through `train`, `export`, `run` and `inspect` to files, on a tiny generator."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sgi.trainer.teachers
from sgi.cli import main
from sgi.engine import intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import save_generator
from sgi.engine.offsets import Offset
from sgi.trainer.teachers.classes import class_codes, class_types

CLASSES = ("floor", "wall", "bed")
MINE = """
name: my-type
channels: 1
meaning: degrees Celsius
low: -20
high: 60
decoding: inverse
png_bits: 16
"""


class ColourTeacher:
    """A teacher: classes by the channel that exceeds the picture's mean most, edges by red, the user's type by grey."""

    name = "colours"
    sha256 = hashlib.sha256(b"colours").hexdigest()
    classes = CLASSES
    types = ("edges", "my-type", *class_types(CLASSES))
    input_range = (0.0, 1.0)
    resolution = None

    def __call__(self, image, types):
        logits = (image - image.mean(dim=(2, 3), keepdim=True)) * 40
        known = {"edges": image[:, :1], "my-type": image.mean(1, keepdim=True)}
        return {name: known[name] if name in known else class_codes(logits, CLASSES, name) for name in types}

    def features(self, image):
        raise UserError("no features")


@pytest.fixture
def folder(tmp_path, generator, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sgi.trainer.teachers, "load_teacher", lambda spec, device: ColourTeacher())
    save_generator("tiny.safetensors", generator)
    (tmp_path / "mine.yaml").write_text(MINE)
    return tmp_path


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture), picture.mode


def test_every_type_from_teacher_to_files(folder, capsys):
    names = ("mask-bed", "edges", "segmentation", "my-type")
    types = [word for name in names for word in ("--type", name)]
    quick = (
        "--steps",
        "5",
        "--images",
        "8",
        "--holdout",
        "4",
        "--batch",
        "4",
        "--threads",
        "1",
        "--noise-mode",
        "none",
    )
    assert main(["train", "--generator", "tiny.safetensors", *types, "--type-file", "mine.yaml", *quick]) == 0
    (folder / "mine.yaml").unlink()  # from here on the offset file contains the description
    offsets = [word for name in names for word in ("--offset", f"{name}.safetensors")]
    assert main(["export", "--generator", "tiny.safetensors", *types, *offsets, "--out", "maps.onnx"]) == 0
    printed = capsys.readouterr()
    assert "of the pixels have another class" in " ".join(printed.out.split())

    segmentation = Offset.load("segmentation.safetensors")
    assert segmentation.intrinsic.classes == CLASSES
    assert (folder / "segmentation.png").exists()
    artifact = Artifact.read("maps.onnx")
    assert artifact.type_names == names
    assert artifact.output("segmentation") == segmentation.intrinsic
    assert artifact.output("my-type").low == -20
    for figures in artifact.parity["runtimes"].values():
        assert figures["segmentation"]["max"] <= 1e-4
        assert figures["segmentation"]["differ"] < 0.01

    for file_format in ("png", "npy"):
        run = ("run", "--model", "maps.onnx", "--seeds", "0-2", "--format", file_format, "--outdir", file_format)
        assert main(run) == 0
    for name in names:
        kind = artifact.output(name)
        (file,) = Path("npy").glob(f"seed*0_{name}.npy")
        value = np.load(file)
        code, mode = pixels(*Path("png").glob(f"seed*0_{name}.png"))
        assert value.shape == (1, 16, 16)
        if name == "segmentation":
            assert mode == "P"
            assert set(np.unique(value)) <= {0, 1, 2}
            np.testing.assert_array_equal(code, value[0])
        else:
            step = (kind.high - kind.low) / (2**kind.png_bits - 1)
            # A 16-bit PNG code is linear in the value for every decoding.
            np.testing.assert_allclose(code * step + kind.low, value[0], atol=0.51 * step)

    # The third column of the sheet contains only the colours of the classes.
    sheet, _ = pixels("npy/preview.png")
    cell = sheet[-200:-8, -400:-208].reshape(-1, 3)
    colours = np.round(intrinsics.colours(artifact.output("segmentation")) * 255)
    assert {tuple(colour) for colour in np.unique(cell, axis=0)} <= {tuple(colour) for colour in colours}

    capsys.readouterr()
    assert main(["inspect", "maps.onnx"]) == 0
    assert main(["inspect", "segmentation.safetensors"]) == 0
    printed = capsys.readouterr().out
    for words in ("my-type", "degrees Celsius", "floor, wall, bed"):
        assert words in printed


def test_a_longer_fit_predicts_a_mask_better(generator):
    from sgi.trainer.offsets.fit import FitSettings
    from sgi.trainer.offsets.job import make_pools, train_offset
    from sgi.trainer.offsets.pool import Sampling

    teacher, kind = ColourTeacher(), intrinsics.get("mask-bed")
    pools = make_pools(generator, teacher, [kind.name], Sampling(), images=32, holdout=16)
    torch.set_num_threads(1)
    fvus = [
        train_offset(generator, teacher, kind, pools, FitSettings(steps=steps)).score["rows"]["offset"]["fvu"]
        for steps in (1, 60)
    ]
    assert fvus[1] < 0.8 * fvus[0]


def test_two_descriptions_of_a_type_are_refused(folder, capsys):
    assert main(["train", "--type-file", "mine.yaml", "--type-file", "mine.yaml"]) == 2
    assert "--type-file mine.yaml: a second description of my-type" in capsys.readouterr().err
    assert main(["train", "--type", "your-type", "--type-file", "mine.yaml"]) == 2
    assert "--type your-type: choose from depth" in capsys.readouterr().err
