"""The Triton backend against ONNX Runtime and the plain generator, by kernels and by their torch references."""

from __future__ import annotations

import interpreter
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch
from kernel_cases import RMS, rms_ratio
from tiny_models import ALL_KINDS, USER_DEFINED, kind_name
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, intrinsics
from sgi.engine.backends import Coding, OnDevice, Overlapping
from sgi.engine.backends.triton import TritonBackend, triton_backend
from sgi.engine.backends.triton.device_codes import device_codes
from sgi.engine.backends.triton.fused_network import FusedNetwork
from sgi.engine.backends.triton.packed_mapping import PackedMapping
from sgi.engine.backends.triton.values import values
from sgi.engine.codes import pixels_of, steps
from sgi.engine.errors import UserError
from sgi.engine.finite import NotFiniteError
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator, save_generator
from sgi.engine.generator.offset_styles import shifted_styles
from sgi.engine.offsets import Offset
from sgi.engine.run import pipeline
from sgi.engine.run.job import Job
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import latents, parse_seeds
from sgi.engine.writers import get_format
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


@pytest.mark.parametrize("from_row", [2, 3])
def test_forms_for_few_pixels_give_the_pictures_of_the_generator(tiny_generator, from_row, monkeypatch):
    monkeypatch.setattr(split, "multiprocessors", lambda x: 132)
    offsets = [None, rows(tiny_generator, 1, from_row=from_row)]
    network = FusedNetwork(
        tiny_generator,
        [{} if rows is None else {"offset": rows} for rows in offsets],
        torch.float32,
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


@pytest.mark.parametrize("kind", [*ALL_KINDS, *USER_DEFINED], ids=kind_name)
def test_codes_on_the_device_are_those_of_the_host(kind, path):
    """Values of pictures, every code, and the numbers beside its least value."""
    intrinsic = intrinsics.get(kind)
    raw = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2
    found = steps(intrinsic)
    assert found is not None
    beside = np.nextafter(found.least, np.float32(-np.inf))
    edges = np.concatenate([found.least, beside])[-1024:] * np.float32(found.sign)
    grid = np.resize(edges, (1, intrinsic.channels, 32, 32))
    for value in (values(raw, intrinsic), torch.from_numpy(grid)):
        expected = pixels_of(intrinsic, value.numpy())
        codes = device_codes(value, intrinsic).numpy()
        assert codes.dtype == expected.dtype
        np.testing.assert_array_equal(codes, expected)


def test_a_graph_needs_no_copies_from_the_host_after_its_first_run(monkeypatch):
    """A CUDA graph cannot contain them; warm-up runs make what is kept."""
    kinds = [intrinsics.get(kind) for kind in (*ALL_KINDS, *USER_DEFINED)]
    raw = torch.zeros(1, 3, 4, 4)

    def run():
        return [device_codes(values(raw, kind), kind) for kind in kinds]

    run()
    for name in ("tensor", "as_tensor", "from_numpy"):
        monkeypatch.setattr(torch, name, None)
    run()


@pytest.fixture
def five_types(tiny_generator):
    offsets = {n: None if n == "image" else make_offset(tiny_generator, n, 3) for n in ("image", *intrinsics.MAP_TYPES)}
    return TritonBackend(tiny_generator, offsets, precision="fp32", device="cpu")


def test_batches_overlap_and_codes_are_those_of_the_maps(five_types, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    assert all(isinstance(five_types, protocol) for protocol in (Overlapping, Coding, OnDevice))
    z = np.random.RandomState(0).randn(2, 8).astype(np.float32)
    first, second = five_types.start(z, 0.7), five_types.start_codes(z, 0.7)
    third = five_types.start(-z, 0.7, types=["depth"])
    maps, codes = first(), second()
    assert list(maps) == list(codes) == list(five_types.artifact.type_names)
    for name, stack in maps.items():
        np.testing.assert_array_equal(codes[name], pixels_of(name, stack))
    np.testing.assert_allclose(third()["depth"], five_types.run(-z, 0.7)["depth"], atol=BACKEND_PARITY)
    assert [*five_types.run_on_device(z, 0.7, types=["normal"])] == ["normal"]


def test_codes_without_steps_come_from_the_host(five_types, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    z = np.random.RandomState(0).randn(1, 8).astype(np.float32)
    expected = five_types.start_codes(z, 0.7)()
    monkeypatch.setattr(triton_backend, "steps", lambda kind: None)
    for name, codes in five_types.start_codes(z, 0.7)().items():
        np.testing.assert_array_equal(codes, expected[name])


def test_values_that_are_not_finite_are_named(five_types, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    render = five_types._network.render

    def damaged(styles, selection):
        raw = render(styles, selection).clone()
        raw[1, 2, :, 0, 0] = torch.nan
        return raw

    monkeypatch.setattr(five_types._network, "render", damaged)
    z = np.random.RandomState(0).randn(3, 8).astype(np.float32)
    for start in (five_types.start, five_types.start_codes):
        with pytest.raises(NotFiniteError) as error:
            start(z, 0.7)()
        assert (error.value.type, error.value.row) == ("depth", 2)
    with Engine(five_types, batch=4) as engine, pytest.raises(NotFiniteError, match="depth map of seed 9"):
        list(engine.stream(seeds="7-9", as_codes=True))


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_a_run_writes_the_files_of_the_maps(five_types, file_format, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    seeds = parse_seeds("3-7")
    names = five_types.artifact.type_names
    record = RunRecord("0" * 64, names, 0.7, None, file_format, 6, "triton", "cpu", batch=2)
    job = Job(tmp_path, seeds, record)
    with Engine(five_types, batch=2) as engine:
        pipeline.prepare(job, {})
        other = "start" if file_format == "png" else "start_codes"
        with monkeypatch.context() as patch:
            patch.setattr(five_types, other, None)
            pipeline.run(engine, job, pipeline.Outcome())
        maps = engine(seeds=seeds, psi=0.7)
    encode = get_format(file_format).encode
    for row, seed in enumerate(seeds):
        for name, file in job.files(seed).items():
            assert file.read_bytes() == encode(name, maps[name][row]), file.name


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


@pytest.mark.parametrize("cutoff", [None, 3])
@pytest.mark.parametrize("which", ["tiny", "conditional"])
def test_z_w_and_w_plus_give_the_same_maps(tiny_generator, conditional_generator, which, cutoff, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    generator = {"tiny": tiny_generator, "conditional": conditional_generator}[which]
    random = np.random.RandomState(0)
    lora = {key: random.randn(*zero.shape).astype(np.float32) for key, zero in SPACES["lora"].zeros(
        generator.config, rank=2, from_layer=0
    ).items()}  # fmt: skip
    offsets = {"image": None, "depth": Offset("depth", "lora", lora, generator_sha256(generator))}
    classes = {"class_index": [2, 0]} if generator.config.c_dim else {}

    def opened(input):
        backend = TritonBackend(generator, offsets, cutoff=cutoff, precision="fp32", device="cpu", input=input)
        return Engine(backend)

    with opened("z") as takes_z, opened("w") as takes_w, opened("w+") as takes_ws:
        by_seed = takes_z([0, 1], psi=0.7, **classes)
        ws = takes_z.mapping([0, 1], psi=0.7, **classes)
        z = torch.from_numpy(latents([0, 1], 8).astype(np.float32))
        label = torch.eye(3)[[2, 0]] if classes else None
        np.testing.assert_allclose(ws, generator.map(z, label, 0.7, cutoff).numpy(), atol=BACKEND_PARITY)
        mixed = ws.copy()
        mixed[0, 2:] = ws[1, 2:]
        expected = intrinsics.decode("image", reference(generator, torch.from_numpy(mixed)))
        assert np.abs(takes_ws(ws=mixed)["image"] - expected).max() <= BACKEND_PARITY
        for maps in (takes_ws(ws=ws), takes_ws([0, 1], psi=0.7, **classes)):
            for name, values_ in maps.items():
                assert np.abs(values_ - by_seed[name]).max() <= BACKEND_PARITY
        one_w = takes_ws(w=ws[:, 0])
        for name, values_ in takes_w(w=ws[:, 0]).items():
            assert np.abs(values_ - one_w[name]).max() <= BACKEND_PARITY
        with pytest.raises(UserError, match="`ws`: the engine takes z"):
            takes_z(ws=ws)


def test_styles_of_w_and_of_its_rows_agree(tiny_generator, path):
    network = FusedNetwork(tiny_generator, [{}, {"offset": rows(tiny_generator, 1)}], torch.float32)
    selection = network.select([0, 1])
    w = torch.randn(3, 12, generator=torch.Generator().manual_seed(0))
    expected = network.styles(w, torch.ones([]), 0, selection)
    assert rms_ratio(network.styles_of_rows(w[:, None].repeat(1, 6, 1), selection), expected) < RMS[torch.float32]


def reference(generator, ws):
    """Display codes of the picture."""
    return (generator.synthesize(ws) * 0.5 + 0.5).clamp(0, 1).numpy()


def test_an_unknown_input_is_refused(tiny_generator):
    with pytest.raises(UserError, match=r"`input=ws`: choose from z, w, w\+"):
        TritonBackend(tiny_generator, {"image": None}, device="cpu", input="ws")
