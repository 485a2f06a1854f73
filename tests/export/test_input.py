"""`export --input`: models that take w and w+ are verified, described and run like others."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import pytest
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, UserError, model_input
from sgi.engine.artifact import Artifact
from sgi.engine.inspect_file import inspect_file
from sgi.export import export_model
from sgi.export.tensorrt_settings import BuildSettings
from sgi.export.triton_server import write_repository


@pytest.fixture(scope="module")
def exported(tmp_path_factory, conditional_generator):
    """Files of one conditional generator, by input."""
    folder = tmp_path_factory.mktemp("models")
    paths = {"z": folder / "z.onnx", "w": folder / "w.onnx", "w+": folder / "ws.onnx"}
    for input, path in paths.items():
        export_model(generator=conditional_generator, types="image", out=path, input=input)
    return paths


@pytest.mark.parametrize("input", ["w", "w+"])
def test_an_exported_model_takes_its_input_and_gives_the_maps_of_its_seeds(exported, input):
    artifact = Artifact.read(exported[input])
    assert (artifact.input, artifact.w_dim, artifact.c_dim, artifact.num_ws) == (input, 12, 3, 8)
    assert set(artifact.parity["runtimes"]) >= {"onnxruntime", "openvino"}
    assert all(f["image"]["max"] <= BACKEND_PARITY for f in artifact.parity["runtimes"].values())
    facts = inspect_file(exported[input]).facts
    assert (facts["input"], facts["w_dim"]) == (input, 12)
    with Engine.open(exported["z"], backend="onnxruntime") as engine:
        expected = engine([0, 1], class_index=2, psi=0.7)["image"]
        ws = engine.mapping([0, 1], class_index=2, psi=0.7)
    with Engine.open(exported[input], backend="onnxruntime") as engine:
        given: dict[str, Any] = {"w": ws[:, 0]} if input == "w" else {"ws": ws}
        assert np.abs(engine(**given)["image"] - expected).max() <= BACKEND_PARITY


def test_a_model_that_takes_z_is_the_same_file_as_before(exported):
    text = {p.key: p.value for p in onnx.load(exported["z"]).metadata_props}["sgi_engine"]
    assert not {"input", "w_dim"} & json.loads(text).keys()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_reduced_precision_is_emulated(tiny_generator, tmp_path, precision):
    made = export_model(
        generator=tiny_generator, types="image", out=tmp_path / "ws.onnx", input="w+", precision=precision
    )
    assert "emulation" in made.artifact.parity["runtimes"]


def test_a_file_that_disagrees_is_not_written(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.setattr(model_input, "rows_of_layers", lambda num_ws: [0, 0, 1, 2, 3, 3, 4, 5])
    with pytest.raises(UserError, match="image through .* differs from the generator"):
        export_model(generator=tiny_generator, types="image", out=tmp_path / "x.onnx", input="w+")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "ws"}, r"`input=ws`: choose from z, w, w\+"),
        ({"input": "w+", "psi": 0.5}, r"`psi=0.5` has no effect with `input=w\+`"),
        ({"input": "w", "cutoff": 3}, "`cutoff=3` has no effect with `input=w`"),
    ],
)
def test_wrong_settings(tiny_generator, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        export_model(generator=tiny_generator, types="image", out=tmp_path / "x.onnx", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("input", "tensor"),
    [("w", '"w" data_type: TYPE_FP32 dims: [12]'), ("w+", '"ws" data_type: TYPE_FP32 dims: [8, 12]')],
)
def test_a_triton_repository_lists_the_inputs_of_its_model(exported, tmp_path, input, tensor):
    folder = write_repository(exported[input], tmp_path / "models", "maps", BuildSettings())
    text = (folder / "config.pbtxt").read_text()
    assert text.count("input {") == 1
    assert f"input {{ name: {tensor} }}" in text
    model = onnx.load(folder / "1" / "model.onnx")
    assert [value.name for value in model.graph.input] == ["w" if input == "w" else "ws"]
