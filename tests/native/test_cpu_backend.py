"""The backend cpu of the C++ library: parity with torch and ONNX Runtime, threads and batches, and refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from native_library import NativeError
from onnx import TensorProto, helper, numpy_helper
from tiny_models import HEAT, ROOM, USER_DEFINED, describe, write_model
from tolerances import BACKEND_PARITY

from sgi.engine import Engine, bundle, intrinsics
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.generator import GeneratorConfig, generator_sha256, random_generator
from sgi.engine.offset_tensors import SPACES
from sgi.engine.offsets import Offset
from sgi.export import verify
from sgi.export.onnx import build
from sgi.export.onnx import describe as describe_export
from sgi.export.precision import PRECISIONS
from sgi.trainer.offsets.spaces import get_space

SEEDS = (0, 7, 2**32 - 1, 600, 5, 42, 43, 44)
KINDS = ("depth", "normal", "albedo", "shading", "edges", ROOM, "mask-bed", HEAT, *USER_DEFINED)


@pytest.fixture(autouse=True)
def _runtime(monkeypatch, runtime_folder):
    monkeypatch.setenv("SGI_ORT_LIB", str(runtime_folder))


def offsets_of(generator, kinds=KINDS, space="w+", zero_rows=0):
    """The picture, and a random offset of each type that is zero in the first rows of w+."""
    made: dict = {"image": None}
    for i, kind in enumerate(kinds):
        row, random = intrinsics.get(kind), np.random.RandomState(i)
        zeros = get_space(space).zeros(generator.config, rank=2, from_layer=zero_rows)
        tensors = {key: random.randn(*zero.shape).astype(np.float32) / np.float32(2) for key, zero in zeros.items()}
        if space == "w+":
            tensors["offset"][: zero_rows + i % 3] = 0
        made[row.name] = Offset(row.name, space, tensors, generator_sha256(generator), semantics=row.to_dict())
    return made


def run(library, path, *, count=5, types=None, **request):
    """Values of the backend cpu: {type: [N, C, R, R]}."""
    artifact = Artifact.read(path)
    side = artifact.resolution
    shapes = {t.name: (count, t.channels, side, side) for t in artifact.types if types is None or t.name in types}
    given = request if {"latents", "seeds"} & request.keys() else {"seeds": SEEDS[:count], **request}
    options = {} if types is None else {"types": ",".join(types)}
    return library().generate(path, shapes, given.pop("seeds", None), backend="cpu", **options, **given)


def check(artifact, found, expected, tolerance=BACKEND_PARITY):
    """Compare values by the measure of verified exports: a pixel at the border of two classes may take either."""
    assert set(found) == set(expected)
    for name, values in found.items():
        row = artifact.output(name)
        figures = verify.figures_of(row, [(values, expected[name])])
        assert figures.get("max", 0) <= tolerance, name
        assert figures.get("differ", 0) <= verify.MOST_DIFFER, name


def through_torch(generator, offsets, artifact, samples):
    """Values by the torch generator: {type: [N, C, R, R]}."""
    return {
        name: intrinsics.decode(
            artifact.output(name),
            verify.reference_codes(generator, offset, artifact.output(name), artifact, samples.ws),
        )
        for name, offset in offsets.items()
    }


def export(generator, offsets, path, **settings):
    """Write a model without verification, which takes seconds; returns its description."""
    artifact = describe_export(generator, offsets, **settings)
    onnx.save(build(generator, offsets, artifact), path)
    return artifact


def check_against_torch(library, generator, offsets, path, **settings):
    """Export, and compare values of z or w or w+ with torch, at two values of psi if the model takes it."""
    artifact = export(generator, offsets, path, **settings)
    z = np.random.RandomState(3).randn(4, artifact.z_dim).astype(np.float32)
    port = next(iter(artifact.inputs))
    for psi in (artifact.psi, 0.3):
        given = verify.samples(generator, artifact, z, psi)
        request = {"latents": {port: np.ascontiguousarray(given.latent)}, "psi": given.psi, "labels": given.label}
        found = run(library, path, count=len(z), **request)
        check(artifact, found, through_torch(generator, offsets, artifact, given))
    return artifact


@pytest.mark.parametrize("noise_mode", ["none", "const"])
@pytest.mark.parametrize("space", SPACES)
def test_types_of_every_kind_and_space(library, tiny_generator, tmp_path, space, noise_mode):
    check_against_torch(
        library, tiny_generator, offsets_of(tiny_generator, space=space), tmp_path / "maps.onnx", psi=0.7,
        noise_mode=noise_mode,
    )  # fmt: skip


@pytest.mark.parametrize("cutoff", [None, 0, 1, 4])
def test_classes_clamps_and_cutoffs(library, conditional_generator, tmp_path, cutoff):
    offsets = offsets_of(conditional_generator, ("depth", "normal"))
    check_against_torch(library, conditional_generator, offsets, tmp_path / "maps.onnx", psi=0.7, cutoff=cutoff)


@pytest.mark.parametrize("takes", ["w", "w+"])
@pytest.mark.parametrize("cutoff", [None, 3])
def test_latents_after_the_mapping_network(library, conditional_generator, tmp_path, takes, cutoff):
    offsets = offsets_of(conditional_generator, ("depth", "normal"), "lora")
    check_against_torch(library, conditional_generator, offsets, tmp_path / "maps.onnx", cutoff=cutoff, input=takes)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("clamp", [None, 0.7])
def test_pictures_of_other_channels(library, tmp_path, channels, clamp):
    config = GeneratorConfig(
        16, z_dim=5, w_dim=7, mapping_layers=1, channel_base=200, channel_max=21, img_channels=channels,
        conv_clamp=clamp,
    )  # fmt: skip
    generator = random_generator(config, seed=4)
    offsets = offsets_of(generator, ("depth",))
    check_against_torch(library, generator, offsets, tmp_path / "maps.onnx")


@pytest.mark.parametrize("zero_rows", [0, 3, 5])
def test_types_that_share_their_first_layers(library, tiny_generator, tmp_path, zero_rows):
    offsets = offsets_of(tiny_generator, ("depth", "normal", "albedo"), zero_rows=zero_rows)
    check_against_torch(library, tiny_generator, offsets, tmp_path / "maps.onnx")


@pytest.mark.skipif(not bundle.MODEL.is_file(), reason="no bundled model in this tree")
def test_the_bundled_model_agrees_with_onnx_runtime(library):
    with Engine.open(bundle.MODEL, backend="onnxruntime", device="cpu") as engine:
        expected = engine(SEEDS)
    found = run(library, bundle.MODEL, count=len(SEEDS))
    check(Artifact.read(bundle.MODEL), found, expected)
    # Together the rows of the last layers exceed what one step computes; one by one they do not.
    for name, values in run(library, bundle.MODEL, count=len(SEEDS), batch=1).items():
        np.testing.assert_array_equal(values, found[name])


@pytest.fixture(scope="module")
def model(tiny_generator, tmp_path_factory):
    path = tmp_path_factory.mktemp("cpu") / "maps.onnx"
    export(tiny_generator, offsets_of(tiny_generator, ("depth", "normal", "albedo"), zero_rows=2), path)
    return path


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_values_do_not_depend_on_threads_and_batches(library, model, threads, batch):
    expected = run(library, model)
    for name, values in run(library, model, threads=threads, batch=batch).items():
        np.testing.assert_array_equal(values, expected[name])


def test_values_do_not_depend_on_the_other_types(library, model):
    expected = run(library, model)
    for types in (("depth",), ("image", "albedo")):
        for name, values in run(library, model, types=types).items():
            np.testing.assert_array_equal(values, expected[name])


def test_many_images_in_one_pass(library, model):
    seeds = range(70)
    whole, cut = (run(library, model, count=70, seeds=seeds, batch=batch) for batch in (70, 7))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, cut[name])


def test_bf16_where_the_processor_has_it(library, model):
    expected, artifact = run(library, model), Artifact.read(model)
    try:
        found = run(library, model, precision="bf16")
    except NativeError as error:
        assert error.args[0] == 3  # noqa: PT017
        assert "sgi_options.precision: this CPU has no AVX512-BF16; leave it NULL" in error.args[1]  # noqa: PT017
        return
    for name, values in found.items():
        row = artifact.output(name)
        assert not np.array_equal(values, expected[name])
        assert verify.figures_of(row, [(values, expected[name])])["psnr"] >= (PRECISIONS["bf16"].min_psnr or 0)


def test_it_is_the_default_where_it_can_run_the_model(library, model, tmp_path):
    native = library()
    assert native.backend(model) == ("cpu", None)
    other = write_model(tmp_path / "other.onnx", describe())
    backend, fallback = native.backend(other)
    assert backend == "onnxruntime"
    assert "image" in fallback
    assert native.backend(model, backend="onnxruntime") == ("onnxruntime", None)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_exports_of_other_precisions_are_refused_by_name(library, tiny_generator, tmp_path, precision):
    path = tmp_path / "maps.onnx"
    export(tiny_generator, {"image": None}, path, precision=precision)
    with pytest.raises(NativeError, match=f"exported in {precision}.*use the backend onnxruntime") as caught:
        run(library, path)
    assert caught.value.args[0] == 3


def weight(model, stem):
    return next(tensor for tensor in model.graph.initializer if tensor.name.startswith(stem))


def writer(model, operator):
    return next(node for node in model.graph.node if node.op_type == operator)


def set_weight(tensor, change):
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def another_slope(model):
    for node in model.graph.node:
        if node.op_type == "LeakyRelu" and node.name.startswith("synthesis.b16.conv1"):
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("alpha", 0.1))
            return


def another_operator(model):
    writer(model, "LeakyRelu").op_type = "Abs"


def another_filter(model):
    set_weight(weight(model, "fir"), lambda values: values * 2)


def another_skip_filter(model):
    set_weight(weight(model, "skip.fir"), lambda values: values[:, :, ::-1, ::-1] + np.float32(1e-3))


def another_stride(model):
    node = writer(model, "ConvTranspose")
    del node.attribute[:]
    node.attribute.extend([helper.make_attribute("kernel_shape", [3, 3]), helper.make_attribute("strides", [1, 1])])


def another_epsilon(model):
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and not tensor.dims and numpy_helper.to_array(tensor) < 1e-6:
            set_weight(tensor, lambda values: values * np.float32(10))


def a_style_of_another_layer(model):
    """The second convolution has the demodulation of the style of the first."""
    squares = [n for n in model.graph.node if n.op_type == "Mul" and n.input[0] == n.input[1] and "style" in n.input[0]]
    squares[1].input[:] = squares[0].input


def a_cycle(model):
    mapped = writer(model, "Gemm")
    mapped.input[0] = writer(model, "LeakyRelu").output[0]


def weights_as_numbers(model):
    tensor = weight(model, "w_avg")
    values = numpy_helper.to_array(tensor)
    tensor.ClearField("raw_data")
    tensor.float_data.extend(values.tolist())


UNKNOWN = {
    another_slope: "weights of other types|synthesis",
    another_operator: "the result of Abs",
    another_filter: r"fir.*\[1, 3, 3, 1\]",
    another_skip_filter: r"skip.fir.*\[1, 3, 3, 1\]",
    another_stride: "the result of ConvTranspose",
    another_epsilon: "is a weight, not",
    a_style_of_another_layer: "style",
    a_cycle: "read before it is written",
    weights_as_numbers: "w_avg",
}


@pytest.mark.parametrize("change", UNKNOWN, ids=lambda change: change.__name__)
def test_unknown_structures_are_refused_in_one_line(library, model, tmp_path, change):
    changed = onnx.load(model)
    change(changed)
    values = Artifact.read(model)
    helper.set_model_props(changed, {METADATA_KEY: _without_checksum(values)})
    path = tmp_path / "changed.onnx"
    onnx.save(changed, path)
    with pytest.raises(NativeError, match=UNKNOWN[change]) as caught:
        run(library, path)
    status, message = caught.value.args
    assert status == 3
    assert message.startswith(f"{path}: the backend cpu cannot run the model: ")
    assert "\n" not in message


def _without_checksum(artifact):
    return replace(artifact, graph_sha256=None).to_json()
