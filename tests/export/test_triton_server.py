"""The model repository of NVIDIA's Triton Inference Server, read with the server's own protobuf schema."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
from tolerances import BACKEND_PARITY

from sgi.cli import main
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.export import triton_server
from sgi.export.onnx import build, describe
from sgi.export.tensorrt_settings import BuildSettings
from sgi.export.triton_server import write_repository

SETTINGS = BuildSettings(batch_profile=(1, 4, 8))


@pytest.fixture
def model(conditional_generator, tmp_path):
    zeros = np.zeros((1, conditional_generator.config.w_dim), np.float32)
    offset = Offset("depth", "w", {"offset": zeros}, generator_sha256(conditional_generator))
    types = {"image": None, "depth": offset}
    path = tmp_path / "maps.onnx"
    onnx.save(build(conditional_generator, types, describe(conditional_generator, types)), path)
    return path


def parsed(folder):
    schema = pytest.importorskip("tritonclient.grpc", reason="tritonclient is not installed").model_config_pb2
    from google.protobuf import text_format

    return schema, text_format.Parse((folder / "config.pbtxt").read_text(), schema.ModelConfig())


def test_configuration_follows_the_schema_of_the_server(model, tmp_path):
    folder = write_repository(model, tmp_path / "models", "maps", SETTINGS)
    schema, config = parsed(folder)
    assert (config.name, config.platform, config.max_batch_size) == ("maps", "onnxruntime_onnx", 8)
    assert (folder / "1" / config.default_model_filename).is_file()
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8]
    assert {i.name: list(i.dims) for i in config.input} == {"z": [8], "psi": [1], "label": [3]}
    assert {o.name: list(o.dims) for o in config.output} == {"image": [3, 32, 32], "depth": [1, 32, 32]}
    assert {t.data_type for t in [*config.input, *config.output]} == {schema.TYPE_FP32}
    described = Artifact.from_json(config.parameters["sgi_engine"].string_value)
    assert described == Artifact.read(model)


def test_configuration_has_the_shapes_of_the_model(model, tmp_path):
    """Each shape in the configuration is that of the model plus the batch; the server checks this when it loads."""
    folder = write_repository(model, tmp_path / "models", "maps", SETTINGS)
    _, config = parsed(folder)
    graph = onnx.load(folder / "1/model.onnx").graph
    shapes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*graph.input, *graph.output]
    }
    assert shapes == {t.name: ["batch", *t.dims] for t in [*config.input, *config.output]}


def test_every_row_has_its_own_psi(model, tmp_path):
    folder = write_repository(model, tmp_path / "models", "maps", SETTINGS)

    def run(path, z, label, psi):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(["image"], {"z": z, "label": label, "psi": np.array(psi, np.float32)})[0]

    z, label = np.random.RandomState(0).randn(2, 8).astype(np.float32), np.eye(3, dtype=np.float32)[:2]
    both = run(folder / "1/model.onnx", z, label, [[0.3], [1.0]])
    for i, psi in enumerate((0.3, 1.0)):
        alone = run(model, z[i : i + 1], label[i : i + 1], psi)
        assert np.abs(both[i] - alone[0]).max() < BACKEND_PARITY


def test_repository_with_an_engine(model, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install .[tensorrt-rtx]")
    settings = BuildSettings("tensorrt_rtx", (1, 4, 8), optimization_level=0, compute_capability=("SM120",))
    folder = write_repository(model, tmp_path / "models", "maps", settings, server_model="tensorrt")
    _, config = parsed(folder)
    assert config.platform == "tensorrt_plan"
    assert sorted(p.name for p in (folder / "1").iterdir()) == ["model.json", "model.plan"]
    assert json.loads((folder / "1/model.json").read_text())["builder"]["batch"] == [1, 4, 8]


def test_refusals_write_nothing(model, tmp_path, monkeypatch):
    models = tmp_path / "models"
    write_repository(model, models, "maps", SETTINGS)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="it already has a model maps; remove it or choose another `name`"):
        write_repository(model, models, "maps", SETTINGS)
    with pytest.raises(UserError, match="`name=../maps`: must be a plain name"):
        write_repository(model, models, "../maps", SETTINGS)
    with pytest.raises(UserError, match="`server_model=torch`: choose from onnx, tensorrt"):
        write_repository(model, models, "other", SETTINGS, server_model="torch")
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        write_repository(model, tmp_path / "nowhere/models", "maps", SETTINGS)
    with pytest.raises(UserError, match="a repository is a folder, and this is a file"):
        write_repository(model, model, "maps", SETTINGS)
    monkeypatch.setattr(triton_server, "config", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_repository(model, models, "other", SETTINGS)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_command(tiny_generator, tmp_path, capsys):
    save_generator(tmp_path / "tiny.safetensors", tiny_generator, {})
    command = [
        "export", "--generator", str(tmp_path / "tiny.safetensors"), "--type", "image", "--format", "triton-server",
        "--batch-profile", "1,2,4", "--out", str(tmp_path / "models"),
    ]  # fmt: skip
    assert main(command) == 0
    assert "tritonserver --model-repository" in " ".join(capsys.readouterr().out.split())
    _, config = parsed(tmp_path / "models/image")
    assert (config.name, config.max_batch_size) == ("image", 4)
    assert main(command) == 2
    assert "it already has a model image; remove it or choose another --name" in capsys.readouterr().err
