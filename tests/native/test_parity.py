"""C++ against Python: the same seeds through the same runtime give the same values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from lying_models import AT_A_BATCH, AT_OPENING
from native_library import NativeError
from tiny_models import ALL_KINDS, HEAT, SIDE, describe, write_model
from tolerances import NATIVE_PARITY

from sgi.engine import Engine, bundle
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.offsets import Offset
from sgi.engine.palette import palette
from sgi.engine.seeds import latents
from sgi.export.onnx import export_onnx

PRESETS = {"onnxruntime": "release", "openvino": "openvino"}
SEEDS = (0, 7, 2**32 - 1, 600)  # one pass of OpenVINO in both languages


@pytest.fixture(scope="module")
def exported_model(tiny_generator, tmp_path_factory):
    """An export of a random generator: image, depth and normal."""
    path = tmp_path_factory.mktemp("export") / "maps.onnx"
    sha256, shape = generator_sha256(tiny_generator), (tiny_generator.config.num_ws, tiny_generator.config.w_dim)
    offsets = {
        name: Offset(name, "w+", {"offset": np.random.RandomState(i).randn(*shape).astype(np.float32)}, sha256)
        for i, name in enumerate(("depth", "normal"))
    }
    export_onnx(tiny_generator, {"image": None, **offsets}, path, psi=0.7)
    return path


def assert_agrees(
    library, path: Path, backend: str, seeds=SEEDS, psi=None, classes=None, types=None, precision=None, labels=None
):
    artifact = Artifact.read(path)
    chosen = [output for output in artifact.types if types is None or output.name in types]
    shapes = {t.name: (len(seeds), t.channels, artifact.resolution, artifact.resolution) for t in chosen}
    options = {} if types is None else {"types": ",".join(types)}
    options |= {} if precision is None else {"precision": precision}
    found = library(PRESETS[backend]).generate(path, shapes, seeds, psi, classes, labels, backend=backend, **options)
    with Engine.open(path, backend=backend, device="cpu", types=types, precision=precision) as engine:
        expected = engine(seeds, psi=psi, class_index=classes, labels=labels)
    for output in chosen:
        difference = np.abs(found[output.name] - expected[output.name]).max() / (output.high - output.low)
        assert difference <= NATIVE_PARITY, output.name


@pytest.fixture(autouse=True)
def _runtime(monkeypatch, runtime_folder):
    monkeypatch.setenv("SGI_ORT_LIB", str(runtime_folder))


@pytest.mark.parametrize("backend", PRESETS)
@pytest.mark.parametrize("psi", [None, 0.3])
def test_an_export(library, exported_model, backend, psi):
    assert_agrees(library, exported_model, backend, psi=psi)


def test_bf16(library, exported_model):
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    assert_agrees(library, exported_model, "openvino", precision="bf16")


@pytest.mark.parametrize("backend", PRESETS)
def test_every_type(library, all_types_model, backend):
    assert_agrees(library, all_types_model, backend)


def test_types_and_colours_are_those_of_the_description(library, all_types_model):
    found = library().types(all_types_model)
    assert [row for row, _ in found] == list(Artifact.read(all_types_model).types)
    for row, colours in found:
        np.testing.assert_array_equal(colours, np.floor(palette(len(row.classes)) * 255 + 0.5))


@pytest.mark.parametrize("count", [2, 15, 150, 256])
def test_palettes(library, tmp_path, count):
    row = Intrinsic("parts", 1, 0, count - 1, "palette", "", classes=tuple(f"part {i}" for i in range(count)))
    ((_, colours),) = library().types(write_model(tmp_path / "parts.onnx", describe((row,))))
    np.testing.assert_array_equal(colours, np.floor(palette(count) * 255 + 0.5))


def test_types_of_early_versions_without_decoding_and_bits(library, tmp_path):
    """Files of early versions lack these fields; both languages then use those of the built-in types."""
    artifact = describe([kind for kind in ALL_KINDS if kind != HEAT])
    values = json.loads(artifact.to_json())
    for entry in values["types"]:
        del entry["decoding"], entry["png_bits"]
    path = write_model(tmp_path / "early.onnx", artifact, {METADATA_KEY: json.dumps(values)})
    assert tuple(row for row, _ in library().types(path)) == Artifact.read(path).types == artifact.types


def test_a_damaged_weight_is_refused_as_in_python(library, exported_model, tmp_path):
    """The checksum that the exporter in Python writes is the one that the library computes."""
    import onnx

    library().types(exported_model)
    weights = max((tensor.raw_data for tensor in onnx.load(exported_model).graph.initializer), key=len)
    model = bytearray(exported_model.read_bytes())
    model[model.index(weights)] ^= 1
    path = tmp_path / "damaged.onnx"
    path.write_bytes(model)
    with pytest.raises(UserError) as expected:
        Engine.open(path, backend="onnxruntime")
    with pytest.raises(NativeError) as found:
        library().types(path)
    assert found.value.args[1] == str(expected.value)
    assert "checksum" in str(expected.value)


@pytest.mark.parametrize("backend", PRESETS)
def test_classes(library, class_model, backend):
    assert_agrees(library, class_model, backend, classes=[0, 2, 1, 2])


@pytest.mark.parametrize("backend", PRESETS)
def test_one_type_of_many(library, exported_model, backend):
    assert_agrees(library, exported_model, backend, types=("depth",))


@pytest.mark.parametrize("backend", PRESETS)
def test_unrequested_types_are_removed_from_the_graph(library, all_types_model, tmp_path, backend):
    import onnx

    broken = onnx.load(all_types_model)
    for node in broken.graph.node:
        if node.op_type == "Sqrt" and not node.input[0].startswith("depth"):
            node.input[0] = "nowhere"
    onnx.save(broken, tmp_path / "broken.onnx")
    shapes = {"depth": (1, 1, 16, 16)}
    found, whole = (
        library(PRESETS[backend]).generate(path, shapes, [3], backend=backend, types="depth")["depth"]
        for path in (tmp_path / "broken.onnx", all_types_model)
    )
    np.testing.assert_array_equal(found, whole)
    with pytest.raises(NativeError, match="nowhere"):
        library(PRESETS[backend]).generate(tmp_path / "broken.onnx", shapes, [3], backend=backend)


def test_several_passes(library, exported_model):
    assert_agrees(library, exported_model, "onnxruntime", seeds=range(19))


@pytest.mark.skipif(not bundle.MODEL.is_file(), reason="no bundled model in this tree")
@pytest.mark.parametrize("backend", PRESETS)
def test_the_bundled_model(library, backend):
    assert_agrees(library, bundle.MODEL, backend)


def test_latents_are_equal_bit_for_bit(library):
    native = library()
    seeds = [*np.random.RandomState(5).randint(0, 2**32, 500), 0, 1, 2**31 - 1, 2**31, 2**32 - 1]
    for seed in map(int, seeds):
        for z_dim in (511, 512):
            np.testing.assert_array_equal(native.latent(seed, z_dim), latents([seed], z_dim)[0], strict=True)


@pytest.mark.parametrize("backend", PRESETS)
def test_label_vectors(library, class_model, backend):
    labels = np.array([[1, 0, 0], [0.7, 0, 0.3], [0, 0, 0], [-1, 2, 0.5]], np.float32)
    assert_agrees(library, class_model, backend, labels=labels)


@pytest.mark.parametrize("backend", PRESETS)
@pytest.mark.parametrize("write", [*AT_OPENING.values(), *AT_A_BATCH.values()], ids=[*AT_OPENING, *AT_A_BATCH])
def test_outputs_that_differ_from_the_description_are_refused(library, backend, write, tmp_path):
    shapes = {"image": (2, 3, SIDE, SIDE), "depth": (2, 1, SIDE, SIDE)}
    with pytest.raises(NativeError, match=r"lies\.onnx: .*(depth|image)"):
        library(PRESETS[backend]).generate(write(tmp_path / "lies.onnx"), shapes, [0, 1], backend=backend)


def test_classes_are_checked(library, class_model):
    shapes = {"depth": (1, 1, 16, 16)}
    for classes, text in ((None, "needs one for each image, 0 to 2"), ([3], "3 is not in 0 to 2")):
        with pytest.raises(NativeError, match=text):
            library().generate(class_model, shapes, [0], classes=classes)


def test_missing_gpu_is_refused(library, all_types_model):
    from sgi.engine.backends import has_nvidia_driver

    if has_nvidia_driver():
        pytest.skip("this machine has a GPU")
    with pytest.raises(NativeError, match="ONNX Runtime") as caught:
        library().generate(all_types_model, {"depth": (1, 1, 16, 16)}, [0], device="cuda")
    assert caught.value.args[0] == 3


def test_missing_runtime_is_refused(library, all_types_model, monkeypatch):
    monkeypatch.setenv("SGI_ORT_LIB", "/nowhere/libonnxruntime.so")
    both = r"SGI_ORT_LIB cannot be loaded.* \(the backend cpu cannot run it: its value image "
    with pytest.raises(NativeError, match=both):
        library().generate(all_types_model, {"depth": (1, 1, 16, 16)}, [0])


def test_an_engine_needs_a_library_with_its_backend(library, tmp_path):
    path, shapes = tmp_path / "maps.engine", {"depth": (1, 1, 16, 16)}
    path.write_bytes(b"engine")
    with pytest.raises(NativeError, match=f"{path}: its description maps.json is not beside it"):
        library().generate(path, shapes, [0])
    path.with_suffix(".json").write_text(describe().to_json())
    with pytest.raises(
        NativeError, match=f"{path}: this library was built without tensorrt; build it with -D SGI_WITH"
    ):
        library().generate(path, shapes, [0])
