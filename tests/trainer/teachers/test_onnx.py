"""ONNX models as teachers: 1x1 convolutions with known outputs, described by every key of the YAML file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from tolerances import CLOSED_FORM

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.trainer.scenes.srgb import srgb_decode, srgb_encode
from sgi.trainer.teachers import Teacher, load_teacher
from sgi.trainer.teachers.classes import target_type
from sgi.trainer.teachers.onnx_description import read_description
from sgi.trainer.teachers.onnx_teacher import network_input

SIDE = 8


@pytest.fixture
def image():
    return torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def write(folder, outputs, weights=None, description=None, batch="N", size=("H", "W"), nhwc=False, dtype=np.float32):
    """A model with one 1x1 convolution for each output, and its YAML. weights: [K, 3] by the graph's output."""
    if weights is None:
        weights = {"out": np.eye(3)}
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes, initializers, values = [], [], []
    source = "picture"
    if nhwc:
        nodes.append(helper.make_node("Transpose", ["picture"], ["planes"], perm=[0, 3, 1, 2]))
        source = "planes"
    for name, matrix in weights.items():
        kernel = np.asarray(matrix, dtype)[:, :, None, None]
        initializers.append(numpy_helper.from_array(kernel, f"{name}.weight"))
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight"], [f"{name}.planes"]))
        last = [f"{name}.planes"], [name]
        nodes.append(
            helper.make_node("Transpose", *last, perm=[0, 2, 3, 1]) if nhwc else helper.make_node("Identity", *last)
        )
        shape = [batch, *size, len(kernel)] if nhwc else [batch, len(kernel), *size]
        values.append(helper.make_tensor_value_info(name, kind, shape))
    shape = [batch, *size, 3] if nhwc else [batch, 3, *size]
    graph = helper.make_graph(
        nodes, "tiny", [helper.make_tensor_value_info("picture", kind, shape)], values, initializers
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({"file": "model.onnx", "outputs": outputs, **(description or {})}))
    return path


def predict(path, image, *types):
    teacher = load_teacher(f"onnx:{path}")
    codes = teacher(image, types)
    return [codes[name] for name in types]


GREEN = {"out": [[0.0, 1.0, 0.0]]}


def test_depth_from_disparity(tmp_path, image):
    path = write(tmp_path, [{"type": "depth", "says": "disparity"}], GREEN, {"name": "Tiny depth"})
    teacher = load_teacher(f"onnx:{path}")
    assert isinstance(teacher, Teacher)
    assert teacher.types == ("depth",)
    assert teacher.name.startswith("Tiny depth (depth: inverse depth of unknown scale")
    (code,) = predict(path, image, "depth")
    green = image[:, 1:2].numpy()
    low, high = np.quantile(green.reshape(3, -1), [0.02, 0.98], axis=1)[..., None, None, None]
    np.testing.assert_allclose(code, ((green - low) / (high - low)).clip(0, 1), atol=1e-5)


def test_depth_from_relative_and_metric_distance(tmp_path, image):
    relative = write(tmp_path, [{"type": "depth", "says": "relative"}], GREEN)
    (code,) = predict(relative, image, "depth")
    green = image[:, 1:2].numpy()
    low, high = np.quantile(green.reshape(3, -1), [0.02, 0.98], axis=1)[..., None, None, None]
    np.testing.assert_allclose(code, 1 - ((green - low) / (high - low)).clip(0, 1), atol=1e-5)
    metric = write(tmp_path, [{"type": "depth", "says": "distance", "far": 0.8}], GREEN)
    (code,) = predict(metric, image, "depth")
    torch.testing.assert_close(code, (1 - image[:, 1:2] / 0.8).clamp(0, 1))


def test_normals_in_other_axes(tmp_path, image):
    output = {"type": "normal", "range": [0, 1], "axes": ["away", "left", "down"]}
    (code,) = predict(write(tmp_path, [output]), image, "normal")
    raw = (image * 2 - 1).numpy()
    expected = np.stack([-raw[:, 1], -raw[:, 2], -raw[:, 0]], axis=1)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(code * 2 - 1, expected, atol=1e-5)


def test_albedo_and_shading(tmp_path, image):
    outputs = [{"type": "albedo", "name": "a"}, {"type": "shading", "name": "s", "range": [0, 0.5]}]
    path = write(tmp_path, outputs, {"a": np.eye(3), "s": [[0.0, 0.5, 0.0]]})
    albedo, shading = predict(path, image, "albedo", "shading")
    torch.testing.assert_close(albedo, image, rtol=0, atol=1e-5)
    values = intrinsics.decode("shading", shading.numpy())
    np.testing.assert_allclose(values, image[:, 1:2], atol=1e-5)


def test_albedo_and_shading_of_free_scale(tmp_path, image):
    outputs = [
        {"type": "albedo", "name": "a", "encoding": "linear", "scale": "free"},
        {"type": "shading", "name": "s", "scale": "free"},
    ]
    path = write(tmp_path, outputs, {"a": 0.1 * np.eye(3), "s": 7 * np.eye(3)})
    albedo, shading = predict(path, image, "albedo", "shading")
    bright = torch.quantile(image.flatten(1), 0.99, dim=1)[:, None, None, None]
    torch.testing.assert_close(albedo, srgb_encode(image * 0.9 / bright), rtol=0, atol=1e-5)
    grey = (image * torch.tensor([0.2126, 0.7152, 0.0722])[:, None, None]).sum(1, keepdim=True)
    grey = grey / torch.quantile(grey.flatten(1), 0.99, dim=1)[:, None, None, None]
    torch.testing.assert_close(shading, srgb_encode(grey / 1.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("says", ["logits", "probabilities"])
def test_segmentation_from_scores(says, tmp_path, image):
    output = {"type": "segmentation", "says": says, "classes": ["wall", "bed", "bed"]}
    path = write(tmp_path, [output])
    teacher = load_teacher(f"onnx:{path}")
    assert teacher.types == ("segmentation", "mask-wall", "mask-bed")
    assert teacher.classes == ("wall", "bed", "bed")
    codes = teacher(image, teacher.types)
    labels = intrinsics.decode(target_type(teacher, "segmentation"), codes["segmentation"].numpy())
    np.testing.assert_array_equal(labels[:, 0], image.argmax(1))
    share = image.softmax(1) if says == "logits" else image / image.sum(1, keepdim=True)
    torch.testing.assert_close(codes["mask-bed"], share[:, 1:].sum(1, keepdim=True))
    torch.testing.assert_close(teacher(image, ["mask-wall"])["mask-wall"], share[:, :1])


def test_segmentation_from_labels(tmp_path):
    output = {"type": "segmentation", "says": "labels", "classes": ["wall", "bed", "lamp"]}
    path = write(tmp_path, [output], {"out": [[2.0, 0.0, 0.0]]})
    image = torch.tensor([0.0, 0.5, 1.0, 1.0]).expand(2, 3, 4, 4)
    teacher = load_teacher(f"onnx:{path}")
    codes = teacher(image, ["segmentation", "mask-bed"])
    labels = intrinsics.decode(target_type(teacher, "segmentation"), codes["segmentation"].numpy())
    np.testing.assert_array_equal(labels[0, 0, 0], [0, 1, 2, 2])
    np.testing.assert_allclose(codes["mask-bed"][0, 0, 0], [0, 1, 0, 0], atol=CLOSED_FORM)
    with pytest.raises(UserError, match="labels beyond its 2 classes"):
        load_teacher(f"onnx:{write(tmp_path, [output | {'classes': ['a', 'b']}], {'out': [[2.0, 0, 0]]})}")(
            image, ["segmentation"]
        )


def test_edges_and_custom_types(tmp_path, image):
    outputs = [{"type": "edges", "name": "e", "says": "logits"}, {"type": "gloss", "name": "g", "range": [2, 0]}]
    path = write(tmp_path, outputs, {"e": [[3.0, 0, 0]], "g": [[0, 0, 2.0]]})
    edges, gloss = predict(path, image, "edges", "gloss")
    torch.testing.assert_close(edges, (3 * image[:, :1]).sigmoid())
    torch.testing.assert_close(gloss, 1 - image[:, 2:])


def test_only_the_requested_outputs_are_computed(tmp_path, image, monkeypatch):
    outputs = [{"type": "albedo", "name": "a"}, {"type": "edges", "name": "e"}]
    teacher = load_teacher(f"onnx:{write(tmp_path, outputs, {'a': np.eye(3), 'e': [[1.0, 0, 0]]})}")
    assert list(teacher(image, ["edges"])) == ["edges"]
    computed = []

    class Session:
        def run(self, names, feed):
            computed.append(names)
            return [feed["picture"][:, :1]]

    monkeypatch.setattr(teacher, "_session", Session())
    teacher(image, ["edges"])
    assert computed == [["e"]]


def test_preprocessing_follows_the_description(tmp_path, image):
    how = {"range": [0, 255], "mean": [1, 2, 3], "std": [4, 5, 6], "channels": "bgr", "layout": "nhwc"}
    path = write(tmp_path, [{"type": "edges", "layout": "nhwc"}], GREEN, {"input": how}, nhwc=True)
    found = network_input(image, read_description(path, "flag").input)
    expected = (image.numpy()[:, ::-1].transpose(0, 2, 3, 1) * 255 - [1, 2, 3]) / [4, 5, 6]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    (code,) = predict(path, image, "edges")
    torch.testing.assert_close(code, ((image[:, 1:2] * 255 - 2) / 5).clamp(0, 1))


def test_linear_pictures_of_another_size(tmp_path, image):
    how = {"encoding": "linear", "size": [4, 16]}
    path = write(tmp_path, [{"type": "edges"}], GREEN, {"input": how}, size=(4, 16))
    found = network_input(image, read_description(path, "flag").input)
    light = torch.nn.functional.interpolate(srgb_decode(image), (4, 16), mode="bilinear", antialias=True)
    np.testing.assert_allclose(found, light, atol=1e-6)
    (code,) = predict(path, image, "edges")
    back = torch.nn.functional.interpolate(light[:, 1:2], (SIDE, SIDE), mode="bilinear", align_corners=False)
    torch.testing.assert_close(code, back)


def test_maps_without_a_channel_axis(tmp_path, image):
    path = write(tmp_path, [{"type": "depth", "says": "distance", "far": 2, "layout": "nhw"}], GREEN)
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.node[-1].CopyFrom(helper.make_node("Squeeze", ["out.planes", "axis"], ["out"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "axis"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", "H", "W"]))
    onnx.save(model, tmp_path / "model.onnx")
    (code,) = predict(path, image, "depth")
    torch.testing.assert_close(code, 1 - image[:, 1:2] / 2)


@pytest.mark.parametrize("kind", ["batch of one", "half precision", "external weights"])
def test_fixed_batch_half_precision_and_external_weights(kind, tmp_path, image):
    options: dict[str, dict[str, Any]] = {"batch of one": {"batch": 1}, "half precision": {"dtype": np.float16}}
    path = write(tmp_path, [{"type": "edges"}], GREEN, **options.get(kind, {}))
    if kind == "external weights":
        onnx.save(
            onnx.load(tmp_path / "model.onnx"), tmp_path / "model.onnx", save_as_external_data=True,
            location="model.onnx.data", size_threshold=0,
        )  # fmt: skip
    (code,) = predict(path, image, "edges")
    torch.testing.assert_close(code, image[:, 1:2], rtol=0, atol=1e-3 if kind == "half precision" else CLOSED_FORM)


def test_hash_covers_model_and_description(tmp_path):
    def digest(output, weights=GREEN):
        return load_teacher(f"onnx:{write(tmp_path, [output], weights)}").sha256

    plain = digest({"type": "depth", "says": "relative"})
    assert digest({"type": "depth", "says": "relative"}) == plain
    assert digest({"type": "depth", "says": "disparity"}) != plain
    assert digest({"type": "depth", "says": "relative"}, {"out": [[0.0, 1.1, 0.0]]}) != plain
    path = write(tmp_path, [{"type": "depth", "says": "relative"}], GREEN)
    settings: dict[str, Any] = {"save_as_external_data": True, "location": "data", "size_threshold": 0}
    onnx.save(onnx.load(tmp_path / "model.onnx"), tmp_path / "model.onnx", **settings)
    outside = load_teacher(f"onnx:{path}").sha256
    data = bytearray((tmp_path / "data").read_bytes())
    data[-2] ^= 1
    (tmp_path / "data").write_bytes(data)
    assert load_teacher(f"onnx:{path}").sha256 != outside


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "not a description of a model"),
        ("file: [", "not YAML"),
        ("file: model.onnx", "outputs: must be a list"),
        ("{file: model.onnx, outputs: [{}]}", "outputs: each needs a type"),
        ("{file: other.onnx, outputs: [{type: edges}]}", "file: no such file .*other.onnx"),
        ("{outputs: [{type: edges}]}", "file: must be text"),
        ("{file: model.onnx, inputs: {}, outputs: [{type: edges}]}", "inputs: unknown key; choose from file, name"),
        ("{file: model.onnx, outputs: [{type: edges, far: 2}]}", "edges: far: unknown key"),
        ("{file: model.onnx, outputs: [{type: edges}, {type: edges}]}", "a type is listed twice"),
        ("{file: model.onnx, outputs: [{type: depth, says: metres}]}", "depth: says: metres: choose from disparity"),
        ("{file: model.onnx, outputs: [{type: depth, says: distance}]}", "depth: far: must be a positive number"),
        ("{file: model.onnx, outputs: [{type: depth, far: 2}]}", "depth: far: must be .* only there"),
        ("{file: model.onnx, outputs: [{type: normal, axes: [left, right, up]}]}", "normal: axes: must be three of"),
        ("{file: model.onnx, outputs: [{type: normal, axes: 3}]}", "normal: axes: must be three of"),
        ("{file: model.onnx, outputs: [{type: edges, range: [1, 1]}]}", "range: its ends must differ"),
        ("{file: model.onnx, outputs: [{type: edges, range: [0, .nan]}]}", "a number that is not finite"),
        ("{file: model.onnx, outputs: [{type: segmentation, classes: [a]}]}", "classes: must name at least 2"),
        ("{file: model.onnx, outputs: [{type: segmentation, classes: [a, 2]}]}", "classes: must be a list of names"),
        ("{file: model.onnx, input: {std: [1, 0, 1]}, outputs: [{type: edges}]}", "std: must not be 0"),
        ("{file: model.onnx, input: {size: big}, outputs: [{type: edges}]}", "size: must be a number of pixels"),
        ("{file: model.onnx, input: {layout: chw}, outputs: [{type: edges}]}", "layout: chw: choose from nchw, nhwc"),
        ("{file: model.onnx, input: 3, outputs: [{type: edges}]}", "input: must be a mapping"),
    ],
)
def test_invalid_descriptions_give_one_error_line(text, message, tmp_path):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    path.write_text(text)
    with pytest.raises(UserError, match=f"`teacher=onnx:{path}`: .*{message}"):
        load_teacher(f"onnx:{path}")


@pytest.mark.parametrize(
    ("outputs", "settings", "message"),
    [
        ([{"type": "edges", "name": "rim"}], {}, "edges: name: the model's outputs are out; name one"),
        ([{"type": "edges"}], {"weights": {"a": np.eye(3), "b": np.eye(3)}}, "outputs are a, b; name one"),
        ([{"type": "edges"}], {"size": (4, 4)}, r"the model takes \['N', 3, 4, 4\], not nchw of size None"),
        ([{"type": "edges"}], {"nhwc": True}, "not nchw of size None"),
        ([{"type": "edges"}], {"batch": 2}, "its batch size is fixed to 2"),
        ([{"type": "edges"}], {"dtype": np.float64}, r"cannot open model\.onnx"),
    ],
)
def test_models_that_do_not_match_their_description_give_one_error_line(outputs, settings, message, tmp_path):
    path = write(tmp_path, outputs, **{"weights": GREEN, **settings})
    with pytest.raises(UserError, match=f"`teacher=onnx:{path}`: .*{message}"):
        load_teacher(f"onnx:{path}")


def test_models_with_several_inputs_give_one_error_line(tmp_path):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    model = onnx.load(tmp_path / "model.onnx")
    model.graph.input.append(helper.make_tensor_value_info("depth", TensorProto.INT64, [1]))
    model.graph.node.append(helper.make_node("Identity", ["depth"], ["unused"]))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UserError, match=r"inputs are picture tensor.*, depth tensor\(int64\) \[1\]; expected one"):
        load_teacher(f"onnx:{path}")


@pytest.mark.parametrize("output", [{"type": "depth"}, {"type": "edges", "layout": "nhw"}, {"type": "segmentation"}])
def test_outputs_of_another_shape_give_one_error_line(output, tmp_path, image):
    classes = {"classes": ["a", "b"]} if output["type"] == "segmentation" else {}
    path = write(tmp_path, [output | classes])
    with pytest.raises(UserError, match=rf"{output['type']}: the model's output is \[3, 3, 8, 8\], which is not"):
        load_teacher(f"onnx:{path}")(image, [output["type"]])


@pytest.mark.parametrize("damage", [b"", b"no model", None])
def test_damaged_models_give_one_error_line(damage, tmp_path):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    model = tmp_path / "model.onnx"
    model.write_bytes(model.read_bytes()[:60] if damage is None else damage)
    with pytest.raises(UserError, match=f"`teacher=onnx:{path}`: file: "):
        load_teacher(f"onnx:{path}")


def test_weights_outside_the_folder_are_not_read(tmp_path):
    folder = tmp_path / "inside"
    folder.mkdir()
    path = write(folder, [{"type": "edges"}], GREEN)
    model = onnx.load(folder / "model.onnx")
    weight = model.graph.initializer[0]
    (tmp_path / "secret").write_bytes(weight.raw_data)
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match="its weights are in secret, which is not in its folder"):
        load_teacher(f"onnx:{path}")


def edit(folder, change):
    model = onnx.load(folder / "model.onnx")
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def branch(name, operator="Identity", **attributes):
    """A graph without inputs that returns the picture."""
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node(operator, ["picture"], [name], **attributes)], name, [], [value])


def with_if(model):
    """What torch.onnx exports for `squeeze(x, 1)` of a dynamic axis: an `If` of two graphs, as MiDaS has."""
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "always"))
    model.graph.node.insert(0, helper.make_node(
        "If", ["always"], ["planes"], then_branch=branch("yes"), else_branch=branch("no", "Relu")
    ))  # fmt: skip
    model.graph.node[1].input[0] = "planes"


def with_loop(model):
    """A loop of one round, inside a branch of an `If`."""
    with_if(model)
    kinds = {"i": TensorProto.INT64, "again": TensorProto.BOOL, "v": TensorProto.FLOAT}
    ends = {"go": TensorProto.BOOL, "w": TensorProto.FLOAT}
    body = helper.make_graph(
        [helper.make_node("Identity", ["again"], ["go"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in ends.items()],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "one"))
    loop = helper.make_node("Loop", ["one", "always", "picture"], ["unused"], body=body)
    model.graph.node[0].attribute[1].g.node.append(loop)


def with_secret(model):
    """A constant in another file, inside a branch of an `If`."""
    with_if(model)
    tensor = TensorProto(name="x", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node[0].attribute[0].g.node.append(helper.make_node("Constant", [], ["x"], value=tensor))


def with_claim(model):
    model.graph.initializer.append(TensorProto(name="x", data_type=TensorProto.FLOAT, dims=[1 << 40], raw_data=b"0000"))


def test_branches_are_allowed(tmp_path, image):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    (expected,) = predict(path, image, "edges")
    edit(tmp_path, with_if)
    (found,) = predict(path, image, "edges")
    assert torch.equal(found, expected)


def test_loops_are_allowed_where_the_description_says_so(tmp_path, image):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    edit(tmp_path, with_loop)
    with pytest.raises(UserError, match="file: it has the operator Loop, .*; write `loops: true` into the YAML file"):
        load_teacher(f"onnx:{path}")
    path.write_text(path.read_text() + "loops: true\n")
    load_teacher(f"onnx:{path}")
    path.write_text(path.read_text().replace("loops: true", "loops: 3"))
    with pytest.raises(UserError, match="loops: must be true or false"):
        load_teacher(f"onnx:{path}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_secret, "its weights are in passwd, which is not in its folder"),
        (with_claim, r"a tensor claims \[1099511627776\] numbers, which its file does not have"),
    ],
)
def test_weights_that_are_elsewhere_are_refused(change, message, tmp_path):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    edit(tmp_path, change)
    with pytest.raises(UserError, match=f"file: {message}"):
        load_teacher(f"onnx:{path}")


def test_missing_file_and_missing_package_give_one_error_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"`teacher=onnx:.*none\.yaml`: no such file"):
        load_teacher(f"onnx:{tmp_path / 'none.yaml'}")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r'needs onnxruntime.*pip install "sgi-engine\[cpu\]"'):
        load_teacher(f"onnx:{Path('x.yaml')}")


def test_missing_gpu_is_refused(tmp_path):
    path = write(tmp_path, [{"type": "edges"}], GREEN)
    with pytest.raises(UserError, match=r'cannot use the GPU: pip install "sgi-engine\[gpu\]"'):
        load_teacher(f"onnx:{path}", "cuda")
