"""Graphs that the exporter never writes are refused before a runtime sees them."""

from __future__ import annotations

import re
from pathlib import Path

import onnx
import pytest
from attacks.graphs import graphs
from tiny_models import SIDE

from sgi.engine import bundle
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.model_file import read_model
from sgi.engine.onnx_operators import LARGEST_SETTING, LARGEST_STRIDE, MOST_FIELDS, MOST_NODES, OPERATORS, check_graph
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
