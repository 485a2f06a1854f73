"""Exported files: values, descriptions and refusals."""

from __future__ import annotations

from contextlib import closing
from itertools import product

import numpy as np
import onnx
import pytest
from tiny_models import ONNX_BACKENDS
from tolerances import BACKEND_PARITY

from sgi.engine.artifact import Artifact
from sgi.engine.backends import installed_backends, open_backend
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.offset_tensors import SPACES
from sgi.engine.offsets import Offset
from sgi.engine.seeds import latents
from sgi.export import verify as verification
from sgi.export.bake import bake
from sgi.export.lower import lower
from sgi.export.onnx import build, describe, export_onnx
from sgi.trainer.offsets.spaces import get_space

MAPS = ("depth", "normal", "albedo", "shading")


def offsets_for(generator, *types, space="w+", zero_rows=0):
    """Random offsets of a space that are zero in the first rows of w+."""
    made = {}
    for i, name in enumerate(types):
        random = np.random.RandomState(i)
        zeros = get_space(space).zeros(generator.config, rank=2, from_layer=zero_rows)
        tensors: dict[str, np.ndarray] = {
            key: random.randn(*zero.shape).astype(np.float32) / 2 for key, zero in zeros.items()
        }
        if space == "w+":
            tensors["offset"][:zero_rows] = 0
        made[name] = Offset(name, space, tensors, generator_sha256(generator))
    return made


def graph_of(generator, offsets):
    """The graph that `export_onnx` writes, which another test verifies."""
    return build(generator, offsets, describe(generator, offsets)).graph


def convolutions(graph):
    return [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]


@pytest.fixture
def one_batch(monkeypatch):
    """Verify at batch 3 alone, as OpenVINO compiles a model for each batch; other tests verify at all batches."""
    monkeypatch.setattr(verification, "BATCHES", (3,))


@pytest.fixture
def one_runtime(one_batch, monkeypatch):
    """Verify at batch 3 in ONNX Runtime alone; other tests verify in all runtimes."""
    monkeypatch.setattr(verification, "installed_backends", lambda *arguments: ("onnxruntime",))


@pytest.fixture(scope="module")
def depth_file(tiny_generator, tmp_path_factory):
    """A file of depth alone, verified at all batches in all runtimes."""
    path = tmp_path_factory.mktemp("depth") / "depth.onnx"
    export_onnx(tiny_generator, offsets_for(tiny_generator, "depth"), path)
    return path


# The noise is in the lowered layers and the offsets are in the baked biases: not every pair of them is needed.
@pytest.mark.parametrize(("space", "noise_mode"), [*((space, "none") for space in SPACES), ("w+", "const")])
def test_every_type_and_runtime_agrees_with_torch(tiny_generator, tmp_path, request, space, noise_mode):
    if space != "w+":
        request.getfixturevalue("one_batch")
    offsets = {"image": None} | offsets_for(tiny_generator, *MAPS, space=space)
    artifact = export_onnx(tiny_generator, offsets, tmp_path / "maps.onnx", psi=0.7, noise_mode=noise_mode)
    assert set(artifact.parity["runtimes"]) == set(installed_backends(tmp_path / "maps.onnx", "cpu"))
    for by_type in artifact.parity["runtimes"].values():
        assert set(by_type) == set(offsets)
        assert all(figures["max"] <= BACKEND_PARITY for figures in by_type.values())


@pytest.mark.parametrize("space", ["w+", "lora"])
def test_classes_clamps_and_truncation_cutoff(space, conditional_generator, tmp_path, request):
    if space != "w+":
        request.getfixturevalue("one_batch")
    offsets = {"image": None} | offsets_for(conditional_generator, "depth", "normal", space=space)
    artifact = export_onnx(conditional_generator, offsets, tmp_path / "maps.onnx", psi=0.5, cutoff=3)
    assert (artifact.c_dim, artifact.cutoff) == (3, 3)
    graph = onnx.load(tmp_path / "maps.onnx").graph
    inputs = {i.name: [d.dim_value or d.dim_param for d in i.type.tensor_type.shape.dim] for i in graph.input}
    assert inputs == {"z": ["batch", 8], "psi": [], "label": ["batch", 3]}


def test_a_cutoff_of_0_truncates_nothing_and_psi_stays_an_input(tiny_generator, tmp_path, one_runtime):
    offsets = {"image": None} | offsets_for(tiny_generator, "depth")
    for cutoff in (0, None):
        export_onnx(tiny_generator, offsets, tmp_path / f"{cutoff}.onnx", cutoff=cutoff)
    z = latents(range(2), 8).astype(np.float32)
    for backend, types in product(ONNX_BACKENDS, (None, ["depth"])):
        with closing(open_backend(tmp_path / "None.onnx", backend=backend, device="cpu", types=types)) as whole:
            expected = whole.run(z, 1.0)
        with closing(open_backend(tmp_path / "0.onnx", backend=backend, device="cpu", types=types)) as opened:
            for psi in (0.3, 1.0):
                for name, maps in opened.run(z, psi).items():
                    assert np.abs(maps - expected[name]).max() <= BACKEND_PARITY


def test_values_do_not_depend_on_the_batch_size(depth_file):
    z = latents(range(5), 8).astype(np.float32)
    for name in installed_backends(depth_file, "cpu"):
        with closing(open_backend(depth_file, backend=name, device="cpu")) as backend:
            together = backend.run(z, 1.0)["depth"]
            alone = np.concatenate([backend.run(z[i : i + 1], 1.0)["depth"] for i in range(5)])
        assert np.abs(together - alone).max() <= BACKEND_PARITY


@pytest.mark.parametrize("opset", [18, 23])
def test_opsets(tiny_generator, tmp_path, one_batch, opset):
    path = tmp_path / "depth.onnx"
    export_onnx(tiny_generator, offsets_for(tiny_generator, "depth"), path, opset=opset)
    assert onnx.load(path).opset_import[0].version == opset
    assert Artifact.read(path).opset == opset


def test_description_of_the_file(tiny_generator, tmp_path, one_runtime):
    path = tmp_path / "depth.onnx"
    offsets = offsets_for(tiny_generator, "depth")
    written = export_onnx(tiny_generator, offsets, path, psi=0.7, noise_mode="none")
    read = Artifact.read(path)
    assert read == written
    assert read.generator["sha256"] == generator_sha256(tiny_generator)
    assert read.offsets["depth"]["sha256"] == offsets["depth"].sha256
    assert (read.psi, read.noise_mode, read.type_names) == (0.7, "none", ("depth",))


@pytest.mark.parametrize("space", SPACES)
def test_baking_adds_no_nodes_or_weights(space, tiny_generator):
    def cost(offset):
        graph = graph_of(tiny_generator, {"albedo": offset})
        return [node.op_type for node in graph.node], [list(tensor.dims) for tensor in graph.initializer]

    offset = offsets_for(tiny_generator, "albedo", space=space)["albedo"]
    assert cost(offset) == cost(offset.scaled(0))


def test_types_share_their_matrices_unless_they_are_lora(tiny_generator, tmp_path, one_runtime):
    def matrices(path, *spaces):
        offsets: dict[str, Offset | None] = {"image": None}
        for name, space in zip(MAPS, spaces, strict=False):
            offsets |= offsets_for(tiny_generator, name, space=space)
        export_onnx(tiny_generator, offsets, path)
        return sum(tensor.name.startswith("affine.weight") for tensor in onnx.load(path).graph.initializer)

    assert matrices(tmp_path / "shared.onnx", "w", "w+", "style") == 1
    assert matrices(tmp_path / "lora.onnx", "w+", "lora", "style") == 2


def test_one_channel_types_carry_one_channel(depth_file):
    model = onnx.load(depth_file)
    shapes = {i.name: list(i.dims) for i in model.graph.initializer}
    rgb = [shape for name, shape in shapes.items() if name.endswith("torgb.weight")]
    assert len(rgb) == 3
    assert all(shape[0] == 1 for shape in rgb)


@pytest.mark.parametrize("space", ["w+", "style", "lora"])
def test_types_with_equal_first_rows_share_those_layers(space, tiny_generator, tmp_path, one_runtime):
    apart = graph_of(tiny_generator, offsets_for(tiny_generator, "normal", "albedo", space=space))
    path = tmp_path / "shared.onnx"
    export_onnx(tiny_generator, offsets_for(tiny_generator, "normal", "albedo", space=space, zero_rows=4), path)
    shared = onnx.load(path).graph
    # Rows 0 to 3 feed b4.conv1, b8.conv0, b8.conv1 and b16.conv0 (three layers and two filters), and b4 and b8's to-rgb
    # with its filter: without sharing, 6 convolutions of the main path and 3 of the skip path occur twice.
    assert len(convolutions(apart)) - len(convolutions(shared)) == 9


def test_layers_that_differ_in_their_matrix_alone_are_not_shared(tiny_generator, tmp_path, one_runtime):
    offset = offsets_for(tiny_generator, "albedo", space="lora")
    for key, tensor in offset["albedo"].tensors.items():
        if key.endswith(".bias"):
            tensor[:] = 0
    export_onnx(tiny_generator, {"image": None} | offset, tmp_path / "maps.onnx")


def test_an_offset_of_another_generator_is_refused(tiny_generator, conditional_generator, tmp_path):
    foreign = offsets_for(conditional_generator, "depth")
    with pytest.raises(UserError, match="fitted on generator"):
        export_onnx(tiny_generator, foreign, tmp_path / "depth.onnx")
    assert not list(tmp_path.iterdir())


def test_file_that_disagrees_is_not_written(tiny_generator, tmp_path, monkeypatch, one_runtime):
    monkeypatch.setattr(
        verification, "reference_codes", lambda g, o, kind, artifact, ws: np.zeros((len(ws), 1, 16, 16), np.float32)
    )
    with pytest.raises(UserError, match="depth through .* differs from the generator"):
        export_onnx(tiny_generator, offsets_for(tiny_generator, "depth"), tmp_path / "depth.onnx")
    assert not list(tmp_path.iterdir())


def test_opset_out_of_range_is_refused(tiny_generator, tmp_path):
    with pytest.raises(UserError, match="`opset=17`: choose from 18 to 23"):
        export_onnx(tiny_generator, {"image": None}, tmp_path / "image.onnx", opset=17)


def test_baked_bias_is_the_offset_through_the_affine_layer(tiny_generator):
    offset = offsets_for(tiny_generator, "depth")["depth"]
    baked = bake(tiny_generator, {"depth": offset, "image": None})
    for layer in lower(tiny_generator).layers():
        (weight, bias), (plain_weight, plain_bias) = (baked[name][layer.name] for name in ("depth", "image"))
        np.testing.assert_array_equal(weight, plain_weight)
        moved = offset.tensors["offset"][layer.row] @ weight
        np.testing.assert_allclose(bias - plain_bias, moved, rtol=1e-4, atol=1e-5)


def test_an_offset_of_other_layers_is_refused(tiny_generator, tmp_path):
    offset = offsets_for(tiny_generator, "depth", space="lora")
    tensors = offset["depth"].tensors
    tensors["lora.synthesis.b8.conv0.bias"] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match=r"conv0\.bias of shape \[3\] where the generator needs \[16\]: fit it again"):
        export_onnx(tiny_generator, offset, tmp_path / "depth.onnx")


def test_random_noise_is_refused(tiny_generator):
    with pytest.raises(ValueError, match="none or const"):
        lower(tiny_generator, "random")
