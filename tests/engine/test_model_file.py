"""Checksums of model files: a damaged file is refused when it is opened, a file without a checksum opens."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from tiny_models import describe, write_model

from sgi.engine.api import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.backends.openvino import OpenVinoBackend
from sgi.engine.errors import UserError
from sgi.engine.inspect_file import inspect_file
from sgi.engine.model_file import graph_sha256

BACKENDS = ("openvino", "onnxruntime")


@pytest.fixture
def model(tmp_path):
    """A model with a checksum."""
    path = write_model(tmp_path / "tiny.onnx", describe())
    return write_model(path, replace(describe(), graph_sha256=graph_sha256(path.read_bytes())))


def flip(path, position):
    model = bytearray(path.read_bytes())
    model[position] ^= 1
    path.write_bytes(model)


def a_weight(path):
    """The position of a byte in the fraction of one weight of depth."""
    (weights,) = [tensor for tensor in onnx.load(path).graph.initializer if tensor.name == "depth.A"]
    return path.read_bytes().index(weights.raw_data)


@pytest.mark.parametrize("types", [None, "image"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_flipped_bit_of_a_weight_is_refused(model, backend, types):
    with Engine.open(model, backend=backend, types=types) as engine:
        engine([0])
    flip(model, a_weight(model))
    with pytest.raises(UserError, match=r"tiny\.onnx: .* differ from the checksum .* copy it again or export it again"):
        Engine.open(model, backend=backend, types=types)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_without_a_checksum_opens(tmp_path, backend):
    path = write_model(tmp_path / "old.onnx", describe())
    flip(path, a_weight(path))
    with Engine.open(path, backend=backend) as engine:
        engine([0])
    assert "none" in inspect_file(path).facts["graph_sha256"]


def test_a_file_damaged_after_it_was_opened_is_refused_at_the_next_compilation(model):
    backend = OpenVinoBackend(model, Artifact.read(model), device="cpu", types=("image", "depth"), batch=4)
    flip(model, a_weight(model))
    with pytest.raises(UserError, match="checksum"):
        backend._compiled(("image",), 4)


def test_inspect_shows_the_checksum(model):
    assert inspect_file(model).facts["graph_sha256"] == graph_sha256(model.read_bytes())


@pytest.mark.parametrize("text", ["", "0" * 63, "G" * 64])
def test_a_wrong_checksum_in_a_description_is_refused(text):
    with pytest.raises(UserError, match="wrong at graph_sha256"):
        replace(describe(), graph_sha256=text)
