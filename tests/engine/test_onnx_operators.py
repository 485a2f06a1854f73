"""Graphs that the exporter never writes are refused before a runtime sees them."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
from attacks.graphs import graphs
from onnx import helper
from tiny_models import SIDE

from sgi.engine import bundle
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.model_file import read_model
from sgi.engine.onnx_operators import (
    BORDER,
    LARGEST_SETTING,
    LARGEST_STRIDE,
    MOST_FIELDS,
    MOST_NODES,
    MOST_NUMBERS,
    NUMBERS_PER_BYTE,
    OPERATORS,
    check_graph,
)
from sgi.engine.onnx_shapes import ELEMENTWISE, LARGEST_BLOCK, SAME, output_shapes
from sgi.engine.onnx_wire import NotOnnxError, find_graph, read_metadata

NATIVE = Path(bundle.__file__).parents[1] / "native/src/onnx_operators.cpp"
ACCEPTED = ("another shape", "a cycle")  # by this check; the runtime and the shape of the outputs are checked later
FOREIGN = {name: model for name, model in graphs(onnx).items() if name not in ACCEPTED}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_graphs_are_refused(name):
    with pytest.raises(UserError, match="which `sgi-engine export` does not write") as refused:
        check_graph(FOREIGN[name].SerializeToString(), SIDE)
    assert str(refused.value).isprintable()


def test_the_bundled_model_is_accepted():
    read_model(bundle.MODEL, Artifact.read(bundle.MODEL))


def test_the_cpp_library_has_the_same_table_and_limits():
    text = NATIVE.read_text()
    table = text.partition("OPERATORS[] = {")[2].partition("}")[0]
    assert set(re.findall(r'"(\w+)"', table)) == OPERATORS
    limits = {name: int(value) for name, value in re.findall(r"([A-Z_]+) = (\d+)[,;]", text)}
    assert limits["LARGEST_SETTING"] == LARGEST_SETTING
    assert limits["LARGEST_STRIDE"] == LARGEST_STRIDE
    assert limits["MOST_FIELDS"] == MOST_FIELDS
    assert limits["MOST_NODES"] == MOST_NODES
    assert limits["BORDER"] == BORDER
    assert limits["MOST_NUMBERS"] == MOST_NUMBERS
    assert limits["NUMBERS_PER_BYTE"] == NUMBERS_PER_BYTE
    shapes = NATIVE.with_name("onnx_shapes.cpp").read_text()
    for name, names in {"ELEMENTWISE": ELEMENTWISE, "SAME": SAME}.items():
        assert set(re.findall(r'"(\w+)"', shapes.partition(f"{name}[] = {{")[2].partition("}")[0])) == names
    assert f"LARGEST_BLOCK = {LARGEST_BLOCK};" in shapes


@pytest.mark.parametrize(
    ("operator", "inputs", "settings", "numbers", "expected"),
    [
        ("Conv", [(1, 8, 16, 16), (4, 8, 3, 3)], {"pads": [1] * 4}, (), (1, 4, 16, 16)),
        ("Conv", [(1, 8, 17, 17), (8, 1, 4, 4)], {"pads": [1] * 4, "group": [8]}, (), (1, 8, 16, 16)),
        ("ConvTranspose", [(1, 8, 8, 8), (8, 4, 3, 3)], {"strides": [2, 2]}, (), (1, 4, 17, 17)),
        ("ConvTranspose", [(1, 3, 8, 8), (3, 1, 4, 4)],
         {"strides": [2, 2], "pads": [1] * 4, "group": [3]}, (), (1, 3, 16, 16)),
        ("DepthToSpace", [(1, 12, 9, 9)], {"blocksize": [2]}, (), (1, 3, 18, 18)),
        ("Mul", [(1, 8, 16, 16), (8, 1, 1)], {}, (), (1, 8, 16, 16)),
        ("MatMul", [(1, 8), (8, 5)], {}, (), (1, 5)),
        ("MatMul", [(1, 6, 8), (8, 5)], {}, (), (1, 6, 5)),
        ("ReduceSum", [(1, 6, 5), (1,)], {"keepdims": [0]}, (1,), (1, 5)),
        ("Unsqueeze", [(1, 8), (2,)], {}, (2, 3), (1, 8, 1, 1)),
    ],
)  # fmt: skip
def test_shapes_follow_the_operators(operator, inputs, settings, numbers, expected):
    """Against ONNX's own inference of shapes."""
    assert output_shapes(operator, inputs, settings, numbers, 1) == [expected]
    names = [f"x{i}" for i in range(len(inputs))]
    made = helper.make_node(
        operator,
        names,
        ["y"],
        **{k: v[0] if k in ("group", "blocksize", "keepdims") else v for k, v in settings.items()},
    )
    values = [helper.make_tensor_value_info(name, 1, shape) for name, shape in zip(names, inputs, strict=True)]
    weights = []
    if numbers:
        values.pop()
        weights.append(helper.make_tensor(names[1], 7, [len(numbers)], numbers))
    graph = helper.make_graph([made], "g", values, [helper.make_tensor_value_info("y", 1, None)], weights)
    inferred = onnx.shape_inference.infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]))
    found = tuple(dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim)
    assert found == expected


BROKEN = {
    "endless varint": b"\x08" + b"\xff" * 1_000_000,
    "varint at the end": b"\x08\x01\x3a\xff",
    "a length without end": b"\x08\x01\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    "a tag without a value": b"\x08\x01\x3a",
    "many fields": b"\x08\x01" * 500_000,
    "an unknown wire type": b"\x08\x01\x3b\x00",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_wires_are_refused(tmp_path, name):
    path = tmp_path / "x.onnx"
    path.write_bytes(BROKEN[name])
    with pytest.raises(NotOnnxError):
        read_metadata(path)
    with pytest.raises(NotOnnxError):
        find_graph(BROKEN[name])


def test_a_graph_cut_anywhere_is_refused_or_checked():
    graph = bytes(find_graph(bundle.MODEL.read_bytes()))[:20_000]
    for length in range(0, len(graph), 37):
        model = b"\x08\x08\x3a" + _varint(length) + graph[:length]
        try:
            check_graph(model, 64)
        except (NotOnnxError, UserError):
            continue


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
