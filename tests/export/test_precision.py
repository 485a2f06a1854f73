"""fp16 and bf16 exports: agreement with torch, float32 outside the convolutions, no overflow."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from tolerances import CLOSED_FORM
from torch.nn import functional as F

from sgi.engine.backends import installed_backends, open_backend
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator
from sgi.engine.generator.layers import ModulatedConv
from sgi.engine.offsets import Offset
from sgi.export import verify as verification
from sgi.export.emulate import Emulator
from sgi.export.onnx import export_onnx
from sgi.export.onnx_layers import LayerEmitter, phases
from sgi.export.precision import PRECISIONS

LOUD = GeneratorConfig(
    16, z_dim=8, w_dim=12, mapping_layers=1, channel_base=2048, channel_max=128, conv_clamp=256.0
)  # fmt: skip
CONVOLUTIONS = ("Conv", "ConvTranspose")


def depth_of(generator):
    rows = np.random.RandomState(0).randn(generator.config.num_ws, generator.config.w_dim).astype(np.float32)
    return Offset("depth", "w+", {"offset": rows}, generator_sha256(generator))


@pytest.fixture(scope="module")
def exports(tiny_generator, tmp_path_factory):
    """Image and depth of a tiny generator in fp16 and bf16: precision -> (path, artifact)."""
    folder = tmp_path_factory.mktemp("exports")
    offsets = {"image": None, "depth": depth_of(tiny_generator)}
    made = {}
    for name in ("fp16", "bf16"):
        path = folder / f"{name}.onnx"
        made[name] = path, export_onnx(tiny_generator, offsets, path, psi=0.7, precision=name)
    return made


@pytest.fixture
def loud_generator():
    """A generator with activations at the clamp of 256 and weights of a few hundred, whose sums exceed float16."""
    generator = random_generator(LOUD, seed=3)
    for layer in generator.synthesis.styled_layers():
        if isinstance(layer.module, ModulatedConv):
            layer.module.weight.mul_(300)
            layer.module.bias.add_(300 * torch.sign(torch.randn(layer.module.bias.shape)))
        else:
            layer.module.weight.div_(1000)
    return generator


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_agrees_with_torch(exports, name):
    _, artifact = exports[name]
    assert artifact.precision == name
    assert artifact.parity["bound"] == {"psnr": PRECISIONS[name].min_psnr}
    assert set(artifact.parity["runtimes"]) >= {"emulation", "openvino"}
    for by_type in artifact.parity["runtimes"].values():
        for figures in by_type.values():
            assert PRECISIONS[name].min_psnr <= figures["psnr"] < verification.PSNR_CAP


def test_runtimes_without_bf16_are_listed(exports):
    path, artifact = exports["bf16"]
    native = {"cpu"} & set(installed_backends(path, "cpu"))
    assert artifact.parity["left_out"] == dict.fromkeys(["onnxruntime", *native], "no bf16 support on the CPU")
    assert exports["fp16"][1].parity["left_out"] == dict.fromkeys(native, "no fp16 support on the CPU")


def test_bf16_needs_a_backend_with_kernels(exports):
    path, _ = exports["bf16"]
    with pytest.raises(
        UserError, match="`backend=onnxruntime`: it does not support bf16 on cpu; export bf16.onnx as fp32 or fp16"
    ):
        open_backend(path, backend="onnxruntime", device="cpu")
    backend = open_backend(path, device="cpu", images=1, batch=1)
    assert backend.name == "openvino"
    backend.close()


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_only_the_convolutions_are_reduced(exports, name):
    model = onnx.shape_inference.infer_shapes(onnx.load(exports[name][0]))
    graph = model.graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.output, *graph.input]}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    reduced = PRECISIONS[name].onnx_type
    full = {"Gemm", "MatMul", "Sqrt", "Div", "ReduceMax", "ReduceMean", "Split"}
    for node in graph.node:
        if node.op_type in full:
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
        if node.op_type in CONVOLUTIONS and not node.input[1].startswith("skip.fir"):
            assert types[node.output[0]] == reduced, node.name
        if node.op_type == "ConvTranspose":
            assert types[node.output[0]] != TensorProto.BFLOAT16, node.name
    assert all(types[value.name] == TensorProto.FLOAT for value in [*graph.input, *graph.output])


def test_half_precision_operators_are_those_that_the_cuda_provider_has(exports):
    """Others would run on the CPU. The names are those of OperatorKernels.md of ONNX Runtime, provider CUDA."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(exports["fp16"][0])).graph
    types = {v.name: v.type.tensor_type.elem_type for v in [*graph.value_info, *graph.output]}
    reduced = {node.op_type for node in graph.node if types[node.output[0]] == TensorProto.FLOAT16}
    assert reduced <= {"Add", "Cast", "Conv", "ConvTranspose", "LeakyRelu", "Mul", "Unsqueeze"}
    assert {types[output.name] for output in graph.output} == {TensorProto.FLOAT}


def test_large_activations_and_weights_do_not_overflow(loud_generator, tmp_path):
    artifact = export_onnx(loud_generator, {"image": None}, tmp_path / "image.onnx", precision="fp16")
    assert artifact.parity["runtimes"]["emulation"]["image"]["psnr"] >= PRECISIONS["fp16"].min_psnr


def test_without_normalisation_they_overflow_and_the_export_fails(loud_generator, tmp_path, monkeypatch):
    monkeypatch.setattr(
        LayerEmitter, "_normalised", lambda self, weight: (weight, np.ones((1, len(weight)), np.float32))
    )
    with pytest.raises(UserError, match="image through emulation has values that are not finite; no file was"):
        export_onnx(loud_generator, {"image": None}, tmp_path / "image.onnx", precision="fp16")
    assert not list(tmp_path.iterdir())


def test_phases_are_the_transposed_convolution():
    random = np.random.RandomState(0)
    weight, x = random.randn(5, 3, 3, 3).astype(np.float32), torch.from_numpy(random.randn(2, 3, 4, 6)).float()
    expected = F.conv_transpose2d(x, torch.from_numpy(weight).transpose(0, 1), stride=2)
    got = F.pixel_shuffle(F.conv2d(F.pad(x, (1, 1, 1, 1)), torch.from_numpy(phases(weight))), 2)
    assert got.shape == (2, 5, 10, 14)
    np.testing.assert_allclose(got[:, :, :-1, :-1], expected, atol=10 * CLOSED_FORM)
    assert not got[:, :, -1].any()
    assert not got[:, :, :, -1].any()


def test_the_emulator_rounds_and_overflows_where_onnx_runtime_does_not(tmp_path):
    nodes = [
        helper.make_node("Cast", ["z"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "half"], ["square"]),
        helper.make_node("Cast", ["square"], ["image"], to=TensorProto.FLOAT),
    ]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("z", "image")]
    graph = helper.make_graph(nodes, "square", value[:1], value[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "square.onnx")
    result = Emulator(tmp_path / "square.onnx").run(np.array([1.0009, 300], np.float32), 1.0)["image"]
    assert result[0] == np.float32(np.float16(np.float16(1.0009) ** 2))
    assert np.isinf(result[1])


def test_psnr_of_known_errors():
    u = np.full((1, 3, 2, 2), 0.4)
    assert verification.psnr("image", u, u) == verification.PSNR_CAP
    # Every pixel differs by one code of 255.
    assert verification.psnr("image", u, u + 1 / 255) == pytest.approx(20 * np.log10(255))
    assert verification.psnr("image", u * np.nan, u) == -np.inf


def test_precision_and_opset_are_checked(tiny_generator, tmp_path):
    with pytest.raises(UserError, match="`precision=int8`: choose from fp32, fp16, bf16"):
        export_onnx(tiny_generator, {"image": None}, tmp_path / "image.onnx", precision="int8")
    with pytest.raises(UserError, match="`opset=20`: choose from 22 to 23 for bf16"):
        export_onnx(tiny_generator, {"image": None}, tmp_path / "image.onnx", precision="bf16", opset=20)
