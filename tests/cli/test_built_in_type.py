"""A built-in type is one row of `INTRINSICS`: a row added in the test passes through every command."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from sgi.cli import main
from sgi.engine import intrinsics
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import save_generator
from sgi.engine.intrinsics import Intrinsic, TypeRow
from sgi.engine.offsets import Offset
from sgi.trainer.measures.by_type import FAMILIES
from sgi.trainer.offsets.chosen_types import chosen_types
from sgi.trainer.studies.evaluation.evaluation_study import default_types
from sgi.trainer.teachers import load_teacher
from sgi.trainer.teachers.onnx_description import READINGS
from sgi.trainer.teachers.onnx_teacher import OnnxTeacher

ROOT = Path(__file__).parents[2]
NAMING_FILES = {
    "engine/intrinsics.py",  # the table
    "engine/shards/exr_format.py",  # renderers call the channel of depth Z
    "engine/view/commands.py",  # relighting: albedo * light
    "cli/bundle.py",  # how long each offset of the bundle is fitted
    "trainer/scenes/dataset.py",  # the maps that the renderer makes
    "trainer/scenes/maps.py",
    "trainer/studies/ablations/ablation_study.py",  # the types that a study takes as examples
    "trainer/studies/evaluation/tasks.py",
    "trainer/studies/evaluation/reconstruction.py",  # image = albedo * shading
    "trainer/studies/evaluation/truth_and_lights.py",
    "trainer/studies/relighting/directions.py",
    "trainer/studies/relighting/relit_maps.py",
    "trainer/teacher_training/fit_unet.py",  # the U-Net's heads
    "trainer/teachers/unet.py",
    "trainer/teachers/unet_teacher.py",
    "trainer/teachers/analytic_teacher.py",  # what a formula or a pipeline predicts
    "trainer/teachers/diffusers_teacher.py",
    "trainer/teachers/transformers_teacher.py",
}
"""Python files that contain names of built-in types, because a method is defined for these types only."""
HEAT = TypeRow(
    Intrinsic("heat", 1, 0.0, 2.0, "linear", "radiant heat, kW/m2", png_bits=16),
    loss="l1",
    measures="correlation",
    reading="light",
)


@pytest.fixture
def folder(tmp_path, generator, monkeypatch):
    """A folder with a generator and an ONNX teacher of heat, which is the mean of a picture's channels."""
    monkeypatch.setitem(intrinsics.INTRINSICS, "heat", HEAT)
    monkeypatch.chdir(tmp_path)
    save_generator("tiny.safetensors", generator)
    kernel = numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "kernel")
    picture = helper.make_tensor_value_info("picture", TensorProto.FLOAT, ["N", 3, "H", "W"])
    grey = helper.make_tensor_value_info("grey", TensorProto.FLOAT, ["N", 1, "H", "W"])
    node = helper.make_node("Conv", ["picture", "kernel"], ["grey"])
    graph = helper.make_graph([node], "heat", [picture], [grey], [kernel])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), "heat.onnx")
    Path("heat.yaml").write_text(
        yaml.safe_dump({"file": "heat.onnx", "outputs": [{"type": "heat", "range": [0, 0.5]}]})
    )
    return tmp_path


def test_one_row_is_enough_for_every_command(folder, capsys):
    quick = [
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
    ]
    model = ["--generator", "tiny.safetensors", "--teacher", "onnx:heat.yaml"]
    assert main(["train", *model, "--type", "heat", *quick]) == 0
    offset = Offset.load("heat.safetensors")
    assert offset.intrinsic == HEAT.intrinsic
    assert offset.semantics == HEAT.intrinsic.to_dict()
    assert not {"loss", "measures", "reading", "in_all"} & set(offset.semantics)

    scored = ["score", *model, "--offset", "heat.safetensors", "--holdout", "4", "--threads", "1"]
    capsys.readouterr()
    assert main(scored) == 0
    assert "correlation" in capsys.readouterr().out

    files = ["--offset", "heat.safetensors", "--generator", "tiny.safetensors"]
    assert main(["export", *files, "--type", "image", "--type", "heat", "--out", "maps.onnx"]) == 0
    artifact = Artifact.read("maps.onnx")
    assert artifact.type_names == ("image", "heat")
    assert set(json.loads(artifact.to_json())["types"][1]) == set(HEAT.intrinsic.to_dict())

    for file_format in ("npy", "png"):
        run = ("run", "--model", "maps.onnx", "--seeds", "0-1", "--format", file_format, "--outdir", file_format)
        assert main(run) == 0
    (file,) = Path("npy").glob("seed*0_heat.npy")
    assert np.load(file).shape == (1, 16, 16)
    assert len(list(Path("png").glob("seed*_heat.png"))) == 2
    assert main(["inspect", "maps.onnx"]) == 0
    assert "kW/m2" in capsys.readouterr().out


def test_the_row_gives_the_loss_the_list_of_types_and_the_reading_of_outputs(folder):
    from sgi.trainer.losses import default_loss

    assert default_loss(HEAT.intrinsic) == "l1"
    assert chosen_types(["heat"], {}) == {"heat": HEAT.intrinsic}
    with pytest.raises(UserError, match="segmentation, heat, mask-CLASS"):
        chosen_types(["unknown"], {})
    teacher = load_teacher("onnx:heat.yaml")
    assert default_types(teacher) == ["heat"]
    assert isinstance(teacher, OnnxTeacher)
    assert teacher.description.outputs[0].encoding == "linear"


def test_only_methods_for_certain_types_contain_names_of_types():
    """Other code reads the row of a type. The name `image` is not searched for: it has other meanings."""
    names = {*intrinsics.INTRINSICS} - {intrinsics.IMAGE}
    found = set()
    for room in ("engine", "kernels", "trainer", "export", "cli"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text())
            if any(isinstance(node, ast.Constant) and node.value in names for node in ast.walk(tree)):
                found.add(path.relative_to(ROOT).as_posix())
    examples = "engine/native"  # an example and test data for the native library
    assert {path for path in found if not path.startswith(examples)} == NAMING_FILES


@pytest.mark.parametrize("name", [*intrinsics.INTRINSICS, "mask-bed"])
def test_every_row_names_a_loss_measures_and_a_reading_that_exist(name):
    from sgi.trainer.losses import TERMS

    row = intrinsics.find_row(name)
    assert row is not None
    assert row.intrinsic.name == name
    assert row.loss is None or set(row.loss.split("+")) <= set(TERMS)
    assert row.measures is None or row.measures in FAMILIES
    assert row.reading in READINGS
