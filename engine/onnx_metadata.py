"""Read the metadata of an .onnx file by walking its top-level protobuf fields.

Neither the `onnx` package (not installed where models only run) nor a runtime is needed, and the graph with its
weights is skipped by a seek: a 100 MB model answers in well under a millisecond. Field numbers are those of ModelProto
in onnx.proto; a length that passes the end of the file is how a truncated model is told.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

_VARINT, _BYTES = 0, 2
# Every field of ModelProto and its wire type, ir_version to configuration.
_WIRE_TYPE = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_GRAPH, _METADATA_PROPS = 7, 14
_FIRST_BYTE = b"\x08"  # ir_version, which ONNX requires, comes first


class NotOnnxError(ValueError):
    """The file is not a whole ONNX model; the text says whether it is cut short or something else."""


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Give a model's metadata_props; raises NotOnnxError, or OSError if the file cannot be read."""
    size = Path(path).stat().st_size
    properties: dict[str, str] = {}
    has_graph = False
    with open(path, "rb") as file:
        if file.read(1) != _FIRST_BYTE:
            raise NotOnnxError("not an ONNX model")
        file.seek(0)
        while file.tell() < size:
            number, wire_type = divmod(_varint(file), 8)
            if _WIRE_TYPE.get(number) != wire_type:
                raise NotOnnxError("not an ONNX model")
            if wire_type == _VARINT:
                _varint(file)
                continue
            length = _varint(file)
            if file.tell() + length > size:
                raise NotOnnxError("cut short")
            if number == _METADATA_PROPS:
                key, value = _string_pair(file.read(length))
                properties[key] = value
            else:
                file.seek(length, os.SEEK_CUR)
            has_graph |= number == _GRAPH
    if not has_graph:
        raise NotOnnxError("not an ONNX model")
    return properties


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            raise NotOnnxError("cut short")
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise NotOnnxError("not an ONNX model")


def _string_pair(entry: bytes) -> tuple[str, str]:
    """Parse a StringStringEntryProto: key = 1, value = 2."""
    file = io.BytesIO(entry)
    fields = {1: b"", 2: b""}
    while file.tell() < len(entry):
        number, wire_type = divmod(_varint(file), 8)
        if wire_type != _BYTES:
            raise NotOnnxError("not an ONNX model")
        fields[number] = file.read(_varint(file))
    try:
        return fields[1].decode(), fields[2].decode()
    except UnicodeDecodeError:
        raise NotOnnxError("not an ONNX model") from None
