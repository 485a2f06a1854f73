"""Models that take z, opened to take w or w+: the same maps as torch, and latents that a model cannot take."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tiny_models import ONNX_BACKENDS, package_of
from tolerances import BACKEND_PARITY, CLOSED_FORM

from sgi.engine import Engine, UserError, bundle, intrinsics
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.backends import open_backend
from sgi.engine.generator import generator_sha256
from sgi.engine.model_file import read_model
from sgi.engine.model_input import rows_of_layers, width_of_w, with_input
from sgi.engine.offsets import Offset
from sgi.engine.onnx_operators import check_graph
from sgi.engine.seeds import latents
from sgi.export.onnx import build, describe
from sgi.export.verify import reference_codes
from sgi.trainer.offsets.spaces import get_space

PSI, SEEDS = 0.6, (3, 1, 4)
CASES = {
    "all rows truncated": ("tiny", "w+", {}),
    "a cutoff": ("tiny", "w+", {"cutoff": 3}),
    "no row truncated": ("tiny", "w+", {"cutoff": 0}),
    "matrices of every type": ("tiny", "lora", {"cutoff": 3}),
    "classes": ("conditional", "lora", {"cutoff": 4}),
    "fp16": ("tiny", "w+", {"precision": "fp16", "cutoff": 3}),
}


def random_offset(generator, name, space, seed):
    zeros = get_space(space).zeros(generator.config, rank=2, from_layer=0)
    random = np.random.RandomState(seed)
    tensors = {key: (random.randn(*zero.shape) / 2).astype(np.float32) for key, zero in zeros.items()}
    return Offset(name, space, tensors, generator_sha256(generator))


class Case:
    """An exported model that takes z, with its generator and offsets."""

    def __init__(self, path, generator, space, options, name=""):
        self.path, self.generator, self.name = path, generator, name
        self.offsets = {
            "image": None,
            "depth": random_offset(generator, "depth", space, 0),
            "normal": random_offset(generator, "normal", space, 1),
        }
        self.artifact = describe(generator, self.offsets, psi=PSI, **options)
        onnx.save(build(generator, self.offsets, self.artifact), path)
        self.labels = np.eye(3, dtype=np.float32)[[2, 0, 1]] if self.artifact.c_dim else None
        self.classes = {"class_index": [2, 0, 1]} if self.artifact.c_dim else {}

    def torch_ws(self):
        z = torch.from_numpy(latents(SEEDS, self.artifact.z_dim).astype(np.float32))
        labels = None if self.labels is None else torch.from_numpy(self.labels)
        with torch.no_grad():
            return self.generator.map(z, labels, PSI, self.artifact.cutoff).numpy()

    def torch_maps(self, ws):
        maps = {}
        for name, offset in self.offsets.items():
            codes = reference_codes(self.generator, offset, name, self.artifact, torch.from_numpy(ws))
            maps[name] = intrinsics.decode(name, codes)
        return maps

    def assert_close(self, maps, expected):
        assert set(maps) == set(self.offsets)
        for name, values in maps.items():
            kind = self.artifact.output(name)
            assert np.abs(values - expected[name]).max() <= BACKEND_PARITY * (kind.high - kind.low), name


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory, tiny_generator, conditional_generator):
    which, space, options = CASES[request.param]
    generator = {"tiny": tiny_generator, "conditional": conditional_generator}[which]
    return Case(tmp_path_factory.mktemp("model") / "z.onnx", generator, space, options, request.param)


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_z_w_and_w_plus_give_the_maps_of_torch(case, backend):
    pytest.importorskip(package_of(backend))
    if backend == "openvino" and case.name in ("all rows truncated", "no row truncated"):
        pytest.skip("compiling takes longest, and ONNX Runtime runs the case")
    # Rows of every image differ, so that a style of another row is noticed.
    ws = np.random.RandomState(0).randn(3, case.artifact.num_ws, case.generator.config.w_dim).astype(np.float32)
    with Engine.open(case.path, backend=backend, device="cpu", batch=3) as takes_z:
        by_seed = takes_z(SEEDS, **case.classes)
        mapped = takes_z.mapping(SEEDS, **case.classes)
        if case.artifact.precision == "fp32":
            case.assert_close(by_seed, case.torch_maps(case.torch_ws()))
    np.testing.assert_allclose(mapped, case.torch_ws(), atol=BACKEND_PARITY)
    with Engine.open(case.path, backend=backend, device="cpu", batch=3, input="w+") as takes_ws:
        assert (takes_ws.artifact.input, takes_ws.artifact.w_dim) == ("w+", 12)
        case.assert_close(takes_ws(SEEDS, **case.classes), by_seed)
        case.assert_close(takes_ws(z=latents(SEEDS, 8), **case.classes), by_seed)
        case.assert_close(takes_ws(ws=mapped), by_seed)
        streamed = list(takes_ws.stream(ws=[ws, ws[::-1]]))
        one_w = takes_ws(w=ws[:, 0])
        if case.artifact.precision == "fp32":
            expected = case.torch_maps(ws)
            case.assert_close(takes_ws(ws=ws), expected)
            case.assert_close(streamed[0], expected)
            case.assert_close(streamed[1], {name: maps[::-1] for name, maps in expected.items()})
            case.assert_close(one_w, case.torch_maps(np.repeat(ws[:, :1], case.artifact.num_ws, axis=1)))
    with Engine.open(case.path, backend=backend, device="cpu", batch=3, input="w") as takes_w:
        case.assert_close(takes_w(w=ws[:, 0]), one_w)


def test_the_bundled_model_takes_w_plus():
    with Engine.open(backend="onnxruntime", types="depth") as takes_z:
        expected = takes_z([0, 1], psi=0.5)["depth"]
        ws = takes_z.mapping([0, 1], psi=0.5)
    assert ws.shape == (2, 10, 256)
    for input in ("w", "w+"):
        with Engine.open(backend="onnxruntime", types="depth", input=input) as engine:
            assert np.abs(engine([0, 1], psi=0.5)["depth"] - expected).max() <= BACKEND_PARITY
            assert np.abs(engine(w=ws[:, 0])["depth"] - expected).max() <= BACKEND_PARITY


def test_the_changed_graph_has_no_mapping_network_and_is_one_that_backends_accept(case):
    model = case.path.read_bytes()
    for input, inputs in (("w", {"w": ["batch", 12]}), ("w+", {"ws": ["batch", case.artifact.num_ws, 12]})):
        changed = with_input(model, input, case.artifact.num_ws)
        assert with_input(changed, input, case.artifact.num_ws) == changed
        check_graph(changed, case.artifact.resolution)
        graph = onnx.load_from_string(changed)
        onnx.checker.check_model(graph, full_check=True)
        found = {i.name: [d.dim_value or d.dim_param for d in i.type.tensor_type.shape.dim] for i in graph.graph.input}
        assert found == inputs
        assert not [node for node in graph.graph.node if node.op_type == "Gemm"]
        assert not [tensor.name for tensor in graph.graph.initializer if tensor.name.startswith("mapping")]
    assert width_of_w(model) == 12


def test_rows_of_layers_are_those_of_the_generator(tiny_generator, conditional_generator):
    for generator in (tiny_generator, conditional_generator):
        config = generator.config
        assert rows_of_layers(config.num_ws) == [layer.row for layer in config.styled_layers()]
    assert rows_of_layers(2) == [0, 1]


def test_psi_reaches_the_mapping(case):
    with Engine.open(case.path, backend="onnxruntime", batch=3) as engine:
        default, whole = (engine.mapping(SEEDS, psi=psi, **case.classes) for psi in (None, 1.0))
        w = whole[:, -1]
        rows = case.artifact.num_ws if case.artifact.cutoff is None else case.artifact.cutoff
        average = case.generator.mapping.w_avg.numpy()
        np.testing.assert_allclose(whole, np.repeat(w[:, None], case.artifact.num_ws, axis=1), atol=10 * CLOSED_FORM)
        truncated = average + PSI * (w - average)
        np.testing.assert_allclose(
            default[:, :rows], np.repeat(truncated[:, None], rows, axis=1), atol=10 * CLOSED_FORM
        )
        np.testing.assert_allclose(default[:, rows:], whole[:, rows:], atol=10 * CLOSED_FORM)


@pytest.fixture(scope="module")
def z_model(tmp_path_factory, tiny_generator):
    """A model that takes z and truncates three of its six rows of w+."""
    return Case(tmp_path_factory.mktemp("model") / "z.onnx", tiny_generator, "w+", {"cutoff": 3}).path


WS = np.zeros((2, 6, 12), np.float32)
WRONG = [
    ("w+", {"ws": WS[:, :5]}, r"`ws` has shape \[2, 5, 12\]: the model needs \[N, 6, 12\]"),
    ("w+", {"ws": WS[0]}, r"`ws` has shape \[6, 12\]"),
    ("w+", {"ws": WS[:0]}, "with N at least 1"),
    ("w+", {"w": WS}, r"`w` has shape \[2, 6, 12\]: the model needs \[N, 12\]"),
    ("w+", {"w": WS[0, :, :5]}, r"the model needs \[N, 12\]"),
    ("w+", {"ws": WS * np.nan}, "`ws` contains values that are not finite"),
    ("w+", {"w": [[1e300] * 12]}, "`w` contains values that are not finite"),
    ("w+", {"ws": [["a"]]}, "`ws=.*`: must be an array of numbers"),
    ("w+", {"ws": [[1.0], [1.0, 2.0]]}, "`ws=.*`: must be an array of numbers"),
    ("w+", {"ws": WS, "psi": 0.5}, "`psi=0.5` has no effect on `ws`, which is after"),
    ("w+", {"w": WS[:, 0], "class_index": 0}, "`class_index=0` has no effect on `w`"),
    ("w+", {"w": WS[:, 0], "labels": [1.0]}, "has no effect on `w`"),
    ("w+", {"ws": WS, "seeds": 0}, "pass one of `seeds`, `z`, `w` and `ws`"),
    ("w+", {"ws": WS, "w": WS[:, 0]}, "pass one of"),
    ("w+", {"ws": WS, "types": "albedo"}, "`types=albedo`"),
    ("w", {"ws": WS}, "`ws`: the engine takes one w for all rows; pass `w`"),
    ("w", {"seeds": 0}, r"`seeds`: with the cutoff 3 of the model and psi 0\.6, rows of w\+ differ"),
    ("w", {"z": np.zeros((1, 8)), "psi": 0.9}, "`z`: with the cutoff 3"),
    ("z", {"ws": WS}, r"`ws`: the engine takes z; open the model with `input=w\+`"),
    ("z", {"w": WS[:, 0]}, r"`w`: the engine takes z; open the model with `input=w\+`"),
]


@pytest.mark.parametrize(("input", "given", "message"), WRONG)
def test_latents_that_an_engine_cannot_take(z_model, input, given, message):
    with Engine.open(z_model, backend="onnxruntime", input=input) as engine:
        with pytest.raises(UserError, match=message):
            engine(**given)
        if "z" not in given:
            streamed: dict[str, Any] = {
                name: [value] if name in ("w", "ws") else value for name, value in given.items()
            }
            with pytest.raises(UserError):
                list(engine.stream(**streamed))


def test_a_w_engine_takes_seeds_where_no_row_differs(z_model):
    with Engine.open(z_model, backend="onnxruntime", input="w") as engine, Engine.open(z_model) as takes_z:
        assert np.abs(engine(0, psi=1)["image"] - takes_z(0, psi=1)["image"]).max() <= BACKEND_PARITY


@pytest.fixture(params=["w", "w+"])
def later(request, z_model, tmp_path):
    """A file that takes w or w+."""
    artifact = Artifact.read(z_model)
    model = onnx.load_from_string(with_input(z_model.read_bytes(), request.param, artifact.num_ws))
    changed = Artifact.from_json(artifact.to_json().replace("{", f'{{"input": "{request.param}", "w_dim": 12, ', 1))
    onnx.helper.set_model_props(model, {METADATA_KEY: changed.to_json()})
    onnx.save(model, tmp_path / "later.onnx")
    return tmp_path / "later.onnx", request.param


@pytest.mark.parametrize("backend", ONNX_BACKENDS)
def test_a_file_without_a_mapping_network(later, backend):
    path, input = later
    pytest.importorskip(package_of(backend))
    with Engine.open(path, backend=backend, device="cpu") as engine:
        assert engine.artifact.input == input
        assert engine(w=WS[:, 0])["depth"].shape == (2, 1, 16, 16)
        for call in (engine, engine.stream, engine.mapping):
            with pytest.raises(UserError, match=r"later.onnx: .* has no mapping network for seeds and z"):
                call(seeds=[0])
        with pytest.raises(UserError, match="has no mapping network"):
            engine(z=np.zeros((1, 8)))
    for other in {"z", "w", "w+"} - {input}:
        with pytest.raises(UserError, match=r"`input=.*later.onnx takes w.*; leave it out, or export the model again"):
            Engine.open(path, backend=backend, device="cpu", input=other)


def test_a_wrong_description_of_the_input_is_refused(later, z_model):
    path, input = later
    model = onnx.load(path)
    text = Artifact.read(path).to_json()
    for wrong, message in (
        (text.replace('"w_dim": 12', '"w_dim": 13'), "input ws? is float32"),
        (text.replace(f'"input": "{input}"', '"input": "z"'), "no input z"),
        (text.replace(f'"input": "{input}"', '"input": "s"'), "wrong at input"),
        (text.replace('"w_dim": 12', '"w_dim": null'), "wrong at w_dim"),
        (text.replace('"w_dim": 12', '"w_dim": 1000000'), "wrong at w_dim"),
    ):
        onnx.helper.set_model_props(model, {METADATA_KEY: wrong})
        onnx.save(model, path)
        with pytest.raises(UserError, match=message):
            Engine.open(path, backend="onnxruntime", device="cpu")


def test_graphs_of_another_program(model):
    for input in ("w", "w+"):
        with pytest.raises(UserError, match="tiny.onnx: the affine layers of this graph were not found; export"):
            Engine.open(model, input=input)
    with Engine.open(model) as engine, pytest.raises(UserError, match="tiny.onnx: the layers of the mapping network"):
        engine.mapping(0)


def test_a_graph_in_which_something_else_reads_z_is_not_changed(z_model):
    model = onnx.load(z_model)
    (product, *_) = [node for node in model.graph.node if node.op_type == "MatMul" and "affine" in node.input[1]]
    product.input[1] = next(t.name for t in model.graph.initializer if t.name == "mapping.fc1.weight")
    with pytest.raises(UserError, match="were not found; export the model again"):
        with_input(model.SerializeToString(), "w", 6)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("input", ["z", "w+"])
def test_a_closed_engine_maps_nothing(z_model, input, used):
    engine = Engine.open(z_model, backend="onnxruntime", input=input)
    if used:  # its mapping network was read
        engine.mapping(0)
    engine.close()
    for call in (engine.mapping, engine):
        with pytest.raises(UserError, match="the engine is closed"):
            call(0)


def test_unknown_inputs(z_model):
    with pytest.raises(UserError, match=r"`input=y`: choose from z, w, w\+"):
        Engine.open(z_model, input="y")
    with closing(open_backend(z_model, input="w")) as backend:
        assert backend.artifact.inputs == {"w": (None, 12)}


def test_the_bundled_description_is_written_as_before():
    artifact = Artifact.read(bundle.MODEL)
    assert (artifact.input, artifact.w_dim, artifact.num_ws) == ("z", None, 10)
    assert "input" not in artifact.to_json()
    assert read_model(bundle.MODEL, artifact) == bundle.MODEL.read_bytes()
