"""Reads and changes metadata and outputs of an .onnx file and checks its graph, without the `onnx` package.

Where models only run, `onnx` is not installed, and loading a runtime takes 0.1 s or more. This module therefore reads
the protobuf wire format itself; the field numbers are those of onnx.proto. A file is truncated if a length exceeds the
end of the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from sgi.engine.budget import LARGEST_MODEL, LARGEST_TEXT, open_regular

_VARINT, _BYTES = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}
_VARINT_BYTES, _ALL_BITS = 10, (1 << 64) - 1
_MOST_FIELDS = 1000  # of the model itself
# Every field of ModelProto and its wire type, ir_version to configuration.
_MODEL_WIRE_TYPE = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_TAG = bytes([_MODEL_GRAPH * 8 + _BYTES])
_FIRST_BYTE = b"\x08"  # ir_version, which ONNX requires, comes first
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_OUTPUT, _GRAPH_VALUE_INFO = 1, 5, 12, 13
_NODE_INPUT, _NODE_OUTPUT = 1, 2
_TENSOR_NAME, _VALUE_NAME = 8, 1
_PAIR_KEY, _PAIR_VALUE = 1, 2


class NotOnnxError(ValueError):
    """The file is not a complete ONNX model; the text is `truncated` or `not an ONNX model`."""


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata_props of a model, key -> value; the weights are not read.

    Raises NotOnnxError, or OSError if the file cannot be read.
    """
    properties: dict[str, str] = {}
    has_graph = False
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_MODEL:
            raise NotOnnxError("larger than 2 GiB, which no ONNX model is")
        if file.read(1) != _FIRST_BYTE:
            raise NotOnnxError("not an ONNX model")
        file.seek(0)
        for _ in range(_MOST_FIELDS):
            if file.tell() >= size:
                break
            number, wire_type = divmod(_varint(file), 8)
            if _MODEL_WIRE_TYPE.get(number) != wire_type:
                raise NotOnnxError("not an ONNX model")
            length = _varint(file)
            if wire_type == _VARINT:
                continue
            if file.tell() + length > size:
                raise NotOnnxError("truncated")
            if number == _MODEL_METADATA:
                if length > LARGEST_TEXT:
                    raise NotOnnxError("not an ONNX model of sgi-engine, its metadata are too long")
                key, value = _string_pair(file.read(length))
                properties[key] = value
            else:
                file.seek(length, os.SEEK_CUR)
            has_graph |= number == _MODEL_GRAPH
        else:
            raise NotOnnxError("not an ONNX model")
    if not has_graph:
        raise NotOnnxError("truncated")
    return properties


def find_graph(model: bytes) -> memoryview:
    """The graph of a model with its weights, without tag and length; raises NotOnnxError if it is truncated."""
    for field in fields(memoryview(model)):
        if field.number == _MODEL_GRAPH and field.wire_type == _BYTES:
            return field.payload
    raise NotOnnxError("truncated")


def keep_outputs(model: bytes, names: Collection[str]) -> bytes:
    """A model with only some of its outputs, without the nodes and weights that only the others need.

    ONNX Runtime computes every node of a graph, also for outputs that are not fetched (1.31, with and without
    `only_execute_path_to_fetches`), so outputs that are not needed must be removed before it loads the model. The
    model has no control flow (`sgi.engine.onnx_operators`), whose inner graphs could use any outer value.
    """
    return with_graph(model, lambda graph: _keep_graph_outputs(graph, {name.encode() for name in names}))


def with_graph(model: bytes, change: Callable[[memoryview], Sequence[bytes | memoryview]]) -> bytes:
    """A model with another graph; change: bytes of the graph -> fields of the new one, each with tag and length."""
    parts: list[bytes | memoryview] = []
    for field in fields(memoryview(model)):
        if field.number == _MODEL_GRAPH:
            graph = change(field.payload)
            parts += [_GRAPH_TAG, _encode_varint(sum(map(len, graph))), *graph]
        else:
            parts.append(field.whole)
    return b"".join(parts)


def with_metadata(model: bytes, key: str, value: str) -> bytes:
    """A model whose property `key` has this value, and no other of that name."""
    parts = [
        field.whole
        for field in fields(memoryview(model))
        if field.number != _MODEL_METADATA or _string_pair(bytes(field.payload))[0] != key
    ]
    pair = encode(_PAIR_KEY, key.encode()) + encode(_PAIR_VALUE, value.encode())
    return b"".join([*parts, encode(_MODEL_METADATA, pair)])


def encode(number: int, value: int | bytes) -> bytes:
    """A field of a message: a number from 0, or bytes."""
    if isinstance(value, int):
        return _encode_varint(number * 8 + _VARINT) + _encode_varint(value)
    return _encode_varint(number * 8 + _BYTES) + _encode_varint(len(value)) + value


class Field(NamedTuple):
    """A field of a message: its number and wire type, its bytes with tag, and its bytes without tag and length."""

    number: int
    wire_type: int
    whole: memoryview
    payload: memoryview


def _keep_graph_outputs(graph: memoryview, wanted: set[bytes]) -> list[memoryview]:
    found = list(fields(graph))
    nodes = [
        (field, _strings(field.payload, _NODE_INPUT), _strings(field.payload, _NODE_OUTPUT))
        for field in found
        if field.number == _GRAPH_NODE
    ]
    needed = set(wanted)
    dropped = set()
    for field, inputs, outputs in reversed(nodes):  # ONNX keeps nodes in topological order
        if needed.isdisjoint(outputs):
            dropped.add(id(field))
        else:
            needed.update(inputs)

    def kept(field: Field) -> bool:
        if field.number == _GRAPH_OUTPUT:
            return not wanted.isdisjoint(_strings(field.payload, _VALUE_NAME))
        if field.number == _GRAPH_INITIALIZER:
            return not needed.isdisjoint(_strings(field.payload, _TENSOR_NAME))
        return field.number != _GRAPH_VALUE_INFO and id(field) not in dropped

    return [field.whole for field in found if kept(field)]


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message; raises NotOnnxError if it is truncated or no message."""
    position = 0
    while position < len(message):
        tag, start = varint_at(message, position)
        number, wire_type = divmod(tag, 8)
        if wire_type == _VARINT:
            _, end = varint_at(message, start)
        elif wire_type == _BYTES:
            length, start = varint_at(message, start)
            end = start + length
        elif wire_type in _FIXED_BYTES:
            end = start + _FIXED_BYTES[wire_type]
        else:
            raise NotOnnxError("not an ONNX model")
        if end > len(message):
            raise NotOnnxError("truncated")
        yield Field(number, wire_type, message[position:end], message[start:end])
        position = end


def _strings(message: memoryview, number: int) -> list[bytes]:
    return [bytes(field.payload) for field in fields(message) if field.number == number]


def varint_at(message: memoryview, position: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits, and the position after it; raises NotOnnxError for anything else."""
    value = 0
    for place, byte in enumerate(message[position : position + _VARINT_BYTES], 1):
        value |= (byte & 0x7F) << 7 * (place - 1)
        if byte < 0x80:
            return value & _ALL_BITS, position + place
    raise NotOnnxError("truncated" if position + _VARINT_BYTES > len(message) else "not an ONNX model")


def numbers(field: Field, most: int) -> list[int]:
    """The numbers of a field that is one varint or a packed list of them; little more than `most` are read."""
    found, position = [], 0
    while position < len(field.payload):
        number, position = varint_at(field.payload, position)
        found.append(number)
        if field.wire_type == _VARINT or len(found) > most:
            break
    if field.wire_type not in (_VARINT, _BYTES):
        raise NotOnnxError("not an ONNX model")
    return found


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _varint(file: BinaryIO) -> int:
    start = file.tell()
    value, length = varint_at(memoryview(file.read(_VARINT_BYTES)), 0)
    file.seek(start + length)
    return value


def _string_pair(entry: bytes) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto, whose fields are key = 1 and value = 2."""
    strings = {1: b"", 2: b""}
    for field in fields(memoryview(entry)):
        if field.wire_type != _BYTES:
            raise NotOnnxError("not an ONNX model")
        strings[field.number] = bytes(field.payload)
    try:
        return strings[1].decode(), strings[2].decode()
    except UnicodeDecodeError:
        raise NotOnnxError("not an ONNX model") from None
