"""The Triton backend against ONNX Runtime and the plain generator, by kernels and by their torch references."""

from __future__ import annotations

import interpreter
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch
from kernel_cases import RMS, rms_ratio
from tiny_models import ALL_KINDS, kind_name
from tolerances import BACKEND_PARITY

from sgi.engine import intrinsics
from sgi.engine.backends import OnDevice
from sgi.engine.backends.triton import TritonBackend
from sgi.engine.backends.triton.fused_network import FusedNetwork
from sgi.engine.backends.triton.options import PRESETS
from sgi.engine.backends.triton.packed_mapping import PackedMapping
from sgi.engine.backends.triton.values import values
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator, save_generator
from sgi.engine.generator.offset_styles import shifted_styles
from sgi.engine.offsets import Offset
from sgi.kernels.gpu.split import launch as split
from sgi.trainer.offsets.spaces import SPACES

WIDE = GeneratorConfig(32, z_dim=8, w_dim=12, mapping_layers=2, channel_base=512, channel_max=24, conv_clamp=3.0)


def rows(generator, seed: int, from_row: int = 0) -> torch.Tensor:
    config = generator.config
    random = torch.Generator().manual_seed(seed)
    offset = torch.randn(config.num_ws, config.w_dim, generator=random)
    offset[:from_row] = 0
    return offset


def make_offset(generator, name: str, from_row: int = 0) -> Offset:
    tensors = {"offset": rows(generator, sum(name.encode()), from_row).numpy()}
    return Offset(name, "w+", tensors, generator_sha256(generator), noise_mode="const")


@pytest.fixture(params=["torch", "kernels"])
def path(request, monkeypatch):
    """The two ways in which an operation runs without a GPU."""
    if request.param == "torch":
        monkeypatch.setenv("TRITON_INTERPRET", "0")
    return request.param


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_network_matches_generator(tiny_generator, dtype, path):
    network = FusedNetwork(tiny_generator, [{}], dtype)
    selection = network.select([0])
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    styles = network.styles(tiny_generator.mapping(z), torch.tensor(0.7), None, selection)
    assert rms_ratio(network.render(styles, selection)[0], tiny_generator(z, psi=0.7)) < RMS[dtype]


@pytest.mark.parametrize(
    ("from_rows", "shared"),
    [((0, 0), (0, 0)), ((2, 3), (2, 1)), ((3, 3), (3, 1)), ((4, 9), (4, 2))],
)
def test_types_share_leading_layers_with_equal_styles(tiny_generator, from_rows, shared, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    offsets = [None, *(rows(tiny_generator, i, first) for i, first in enumerate(from_rows))]
    network = FusedNetwork(
        tiny_generator, [{} if rows is None else {"offset": rows} for rows in offsets], torch.float32
    )
    selection = network.select([0, 1, 2])
    assert (selection.shared_convs, selection.shared_rgbs) == shared
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    styles = network.styles(tiny_generator.mapping(z), torch.tensor(1.0), None, selection)
    pictures = network.render(styles, selection)
    for offset, picture in zip(offsets, pictures, strict=True):
        assert rms_ratio(picture, tiny_generator(z, offset=offset)) < RMS[torch.float32]


def test_one_run_computes_offsets_of_all_spaces(tiny_generator, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    random = torch.Generator().manual_seed(0)
    offsets: list[dict[str, torch.Tensor]] = [{}]
    for space in SPACES.values():
        zeros = space.zeros(tiny_generator.config, from_layer=2 if space.layered else 0)
        offsets.append({key: torch.randn(zero.shape, generator=random) / 2 for key, zero in zeros.items()})
    network = FusedNetwork(tiny_generator, offsets, torch.float32)
    z = torch.randn(2, 8, generator=random)
    synthesis, ws = tiny_generator.synthesis, tiny_generator.map(z, psi=0.7, cutoff=3)
    for kinds, shared in (([0, 3, 4], 2), ([4], 5), ([3, 1, 2, 0], 0)):
        selection = network.select(kinds)
        assert selection.shared_convs == shared
        styles = network.styles(tiny_generator.mapping(z), torch.tensor(0.7), 3, selection)
        for kind, picture in zip(kinds, network.render(styles, selection), strict=True):
            expected = synthesis.render(shifted_styles(synthesis, ws, offsets[kind]))
            assert rms_ratio(picture, expected) < RMS[torch.float32]


def test_kernels_match_generator_with_shared_layers(tiny_generator):
    offsets = [None, rows(tiny_generator, 1, from_row=2)]
    network = FusedNetwork(
        tiny_generator, [{} if rows is None else {"offset": rows} for rows in offsets], torch.float32
    )
    selection = network.select([0, 1])
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    pictures = network.render(network.styles(tiny_generator.mapping(z), torch.tensor(1.0), None, selection), selection)
    for offset, picture in zip(offsets, pictures, strict=True):
        assert rms_ratio(picture, tiny_generator(z, offset=offset)) < RMS[torch.float32]


@pytest.mark.parametrize(("name", "from_row"), [("default", 2), ("default", 3), ("first round", 3)])
def test_every_form_gives_the_pictures_of_the_generator(tiny_generator, name, from_row, monkeypatch):
    monkeypatch.setattr(split, "multiprocessors", lambda x: 132)
    offsets = [None, rows(tiny_generator, 1, from_row=from_row)]
    network = FusedNetwork(
        tiny_generator,
        [{} if rows is None else {"offset": rows} for rows in offsets],
        torch.float32,
        options=PRESETS[name],
    )
    selection = network.select([0, 1])
    z = torch.randn(1, 8, generator=torch.Generator().manual_seed(0))
    styles = network.styles(network.mapping(z), torch.tensor(0.7), 3, selection)
    pictures = network.render(styles, selection)
    for offset, picture in zip(offsets, pictures, strict=True):
        assert rms_ratio(picture, tiny_generator(z, psi=0.7, cutoff=3, offset=offset)) < RMS[torch.float32]


def test_packed_mapping_of_a_conditional_generator(conditional_generator, path):
    z = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    label = torch.eye(3)[:2]
    mapping = conditional_generator.mapping
    assert rms_ratio(PackedMapping(mapping)(z, label), mapping(z, label)) < RMS[torch.float32]


def test_equal_types_give_one_picture(tiny_generator, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    zeros = torch.zeros(tiny_generator.config.num_ws, 12)
    network = FusedNetwork(tiny_generator, [{}, {"offset": zeros}], torch.float32)
    selection = network.select([0, 1])
    styles = network.styles(torch.randn(3, 12), torch.tensor(1.0), None, selection)
    assert network.render(styles, selection).shape == (2, 3, 3, 16, 16)


def test_maps_match_onnx_runtime(tmp_path, path):
    pytest.importorskip("onnxruntime")
    from sgi.engine.backends import open_backend
    from sgi.export.onnx import export_onnx

    # 32 px through the kernels takes the interpreter half a minute, so it gets two types and one image.
    names = ["image", "depth"] if path == "kernels" else ["image", *intrinsics.MAP_TYPES]
    generator = random_generator(WIDE, seed=3)
    offsets = {name: None if name == "image" else make_offset(generator, name, from_row=3) for name in names}
    export_onnx(generator, offsets, tmp_path / "model.onnx", psi=0.7, cutoff=5, noise_mode="const")
    z = np.random.RandomState(0).randn(1 if path == "kernels" else 3, 8).astype(np.float32)
    expected = open_backend(tmp_path / "model.onnx", "onnxruntime", "cpu").run(z, 0.6)
    backend = TritonBackend(generator, offsets, psi=0.7, cutoff=5, precision="fp32", device="cpu")
    found = backend.run(z, 0.6)
    assert list(found) == names
    for output in backend.artifact.types:
        error = np.abs(found[output.name] - expected[output.name]).max()
        assert error < BACKEND_PARITY * (output.high - output.low), output.name


def test_types_argument_selects_outputs(conditional_generator, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    offsets = {"image": None, "normal": make_offset(conditional_generator, "normal")}
    backend = TritonBackend(conditional_generator, offsets, precision="fp32", device="cpu")
    z = np.zeros((2, 8), np.float32)
    label = np.eye(3, dtype=np.float32)[:2]
    both = backend.run(z, 1.0, label)
    alone = backend.run(z, 1.0, label, types=["normal"])
    assert list(alone) == ["normal"]
    np.testing.assert_allclose(alone["normal"], both["normal"], atol=BACKEND_PARITY)
    tensors = backend.run_on_device(z, 1.0, label, ["normal"])
    assert isinstance(backend, OnDevice)
    again = backend.run_on_device(torch.from_numpy(z), 1.0, torch.from_numpy(label), ["normal"])
    assert torch.equal(again["normal"], tensors["normal"])
    np.testing.assert_array_equal(np.from_dlpack(tensors["normal"]), alone["normal"])
    backend.close()


def test_load_reads_files_and_bakes_offsets(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    save_generator(tmp_path / "g.safetensors", tiny_generator)
    offset = make_offset(tiny_generator, "depth")
    offset.save(tmp_path / "depth.safetensors")
    files = {"depth": tmp_path / "depth.safetensors"}
    backend = TritonBackend.load(tmp_path / "g.safetensors", files, precision="fp32", device="cpu")
    z = np.random.RandomState(1).randn(2, 8).astype(np.float32)
    raw = tiny_generator(torch.from_numpy(z), offset=torch.tensor(offset.tensors["offset"]))
    u = (raw.mean(1, keepdim=True) * 0.5 + 0.5).clamp(0, 1)
    np.testing.assert_allclose(backend.run(z, 1.0)["depth"], 1 - u.numpy(), atol=BACKEND_PARITY)
    assert backend.artifact.offsets["depth"]["sha256"] == offset.sha256


@pytest.mark.parametrize("kind", ALL_KINDS, ids=kind_name)
def test_values_match_intrinsics_decode(kind):
    raw = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2
    intrinsic = intrinsics.get(kind)
    code = raw.mean(1, keepdim=True) if intrinsic.code_channels == 1 else raw
    expected = intrinsics.decode(kind, (code.numpy() * 0.5 + 0.5).clip(0, 1))
    error = np.abs(values(raw, intrinsic).numpy() - expected)
    assert error.max() < BACKEND_PARITY * (intrinsic.high - intrinsic.low)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp8"}, "`precision=fp8`: choose from"),
        ({"noise_mode": "random"}, "`noise_mode=random`: choose from"),
        ({"types": ["albedo"]}, "`types=albedo`: the model has"),
    ],
)
def test_invalid_options_are_refused(tiny_generator, options, message):
    with pytest.raises(UserError, match=message):
        TritonBackend(tiny_generator, {"image": None}, **{"device": "cpu", **options})


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_missing_cuda_device_is_refused(tiny_generator):
    with pytest.raises(UserError, match="`device=cuda`"):
        TritonBackend(tiny_generator, {"image": None})


def test_offset_of_another_generator_is_refused(tiny_generator, conditional_generator):
    with pytest.raises(UserError, match="was fitted on generator"):
        TritonBackend(tiny_generator, {"depth": make_offset(conditional_generator, "depth")}, device="cpu")


def test_offset_of_another_type_is_refused(tiny_generator, tmp_path):
    save_generator(tmp_path / "g.safetensors", tiny_generator)
    make_offset(tiny_generator, "depth").save(tmp_path / "d.safetensors")
    with pytest.raises(UserError, match="the offset has type depth, not shading"):
        TritonBackend.load(tmp_path / "g.safetensors", {"shading": tmp_path / "d.safetensors"}, device="cpu")


def test_kernels_run_in_the_interpreter():
    from sgi.kernels.gpu.conv.kernel import conv_kernel

    compiled = type(conv_kernel).__name__ == "JITFunction"
    assert compiled == (interpreter.DEVICE == "cuda")
