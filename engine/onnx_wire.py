"""Reads the metadata of an .onnx file and removes outputs from it, without the `onnx` package.

Where models only run, `onnx` is not installed, and loading a runtime takes 0.1 s or more. This module therefore reads
the protobuf wire format itself; the field numbers are those of onnx.proto. A file is truncated if a length exceeds the
end of the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_VARINT, _BYTES = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
# Every field of ModelProto and its wire type, ir_version to configuration.
_MODEL_WIRE_TYPE = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_TAG = bytes([_MODEL_GRAPH * 8 + _BYTES])
_FIRST_BYTE = b"\x08"  # ir_version, which ONNX requires, comes first
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 1, 5, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_OP_TYPE = 1, 2, 4
_TENSOR_NAME, _VALUE_NAME = 8, 1
_CONTROL_FLOW = {b"If", b"Loop", b"Scan", b"SequenceMap"}


class NotOnnxError(ValueError):
    """The file is not a complete ONNX model; the text is `truncated` or `not an ONNX model`."""


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata_props of a model, key -> value; the weights are not read.

    Raises NotOnnxError, or OSError if the file cannot be read.
    """
    size = Path(path).stat().st_size
    properties: dict[str, str] = {}
    has_graph = False
    with open(path, "rb") as file:
        if file.read(1) != _FIRST_BYTE:
            raise NotOnnxError("not an ONNX model")
        file.seek(0)
        while file.tell() < size:
            number, wire_type = divmod(_varint(file), 8)
            if _MODEL_WIRE_TYPE.get(number) != wire_type:
                raise NotOnnxError("not an ONNX model")
            length = _varint(file)
            if wire_type == _VARINT:
                continue
            if file.tell() + length > size:
                raise NotOnnxError("truncated")
            if number == _MODEL_METADATA:
                key, value = _string_pair(file.read(length))
                properties[key] = value
            else:
                file.seek(length, os.SEEK_CUR)
            has_graph |= number == _MODEL_GRAPH
    if not has_graph:
        raise NotOnnxError("truncated")
    return properties


def find_graph(model: bytes) -> memoryview:
    """The graph of a complete model with its weights, without tag and length."""
    return next(field.payload for field in _fields(memoryview(model)) if field.number == _MODEL_GRAPH)


def keep_outputs(model: bytes, names: Collection[str]) -> bytes:
    """A model with only some of its outputs, without the nodes and weights that only the others need.

    ONNX Runtime computes every node of a graph, also for outputs that are not fetched (1.31, with and without
    `only_execute_path_to_fetches`), so outputs that are not needed must be removed before it loads the model. A model
    with control flow, whose inner graphs can use any outer value, is returned unchanged.
    """
    parts: list[bytes | memoryview] = []
    for field in _fields(memoryview(model)):
        if field.number == _MODEL_GRAPH:
            graph = _keep_graph_outputs(field.payload, {name.encode() for name in names})
            parts += [_GRAPH_TAG, _encode_varint(sum(map(len, graph))), *graph]
        else:
            parts.append(field.whole)
    return b"".join(parts)


class _Field(NamedTuple):
    number: int
    whole: memoryview
    payload: memoryview


def _keep_graph_outputs(graph: memoryview, wanted: set[bytes]) -> list[memoryview]:
    fields = list(_fields(graph))
    nodes = [
        (field, _strings(field.payload, _NODE_INPUT), _strings(field.payload, _NODE_OUTPUT))
        for field in fields
        if field.number == _GRAPH_NODE
    ]
    operators = {name for field, _, _ in nodes for name in _strings(field.payload, _NODE_OP_TYPE)}
    if operators & _CONTROL_FLOW:
        return [graph]
    needed = set(wanted)
    dropped = set()
    for field, inputs, outputs in reversed(nodes):  # ONNX keeps nodes in topological order
        if needed.isdisjoint(outputs):
            dropped.add(id(field))
        else:
            needed.update(inputs)

    def kept(field: _Field) -> bool:
        if field.number == _GRAPH_OUTPUT:
            return _strings(field.payload, _VALUE_NAME)[0] in wanted
        if field.number == _GRAPH_INITIALIZER:
            return _strings(field.payload, _TENSOR_NAME)[0] in needed
        return field.number != _GRAPH_VALUE_INFO and id(field) not in dropped

    return [field.whole for field in fields if kept(field)]


def _fields(message: memoryview) -> Iterator[_Field]:
    position = 0
    while position < len(message):
        tag, start = _varint_at(message, position)
        number, wire_type = divmod(tag, 8)
        if wire_type == _VARINT:
            _, end = _varint_at(message, start)
        elif wire_type == _BYTES:
            length, start = _varint_at(message, start)
            end = start + length
        else:
            end = start + _FIXED_BYTES[wire_type]
        yield _Field(number, message[position:end], message[start:end])
        position = end


def _strings(message: memoryview, number: int) -> list[bytes]:
    return [bytes(field.payload) for field in _fields(message) if field.number == number]


def _varint_at(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            raise NotOnnxError("truncated")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise NotOnnxError("not an ONNX model")


def _string_pair(entry: bytes) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto, whose fields are key = 1 and value = 2."""
    file = io.BytesIO(entry)
    strings = {1: b"", 2: b""}
    while file.tell() < len(entry):
        number, wire_type = divmod(_varint(file), 8)
        if wire_type != _BYTES:
            raise NotOnnxError("not an ONNX model")
        strings[number] = file.read(_varint(file))
    try:
        return strings[1].decode(), strings[2].decode()
    except UnicodeDecodeError:
        raise NotOnnxError("not an ONNX model") from None
