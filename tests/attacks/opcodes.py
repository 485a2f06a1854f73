"""Builds malicious files from pickle opcodes, torch's containers and safetensors."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

Attack = tuple[bytes, str]


def text(value: str) -> bytes:
    """Opcode that pushes text."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def call(module: str, name: str, *args: bytes) -> bytes:
    """Opcodes that call module.name with arguments given as opcodes."""
    return f"c{module}\n{name}\n(".encode() + b"".join(args) + b"tR"


def program(body: bytes, protocol: int = 4) -> bytes:
    """A complete pickle of some opcodes."""
    return b"\x80" + bytes([protocol]) + body + b"."


def in_dict(key: str, value: bytes) -> bytes:
    """A pickle of {key: value}, value given as opcodes."""
    return program(b"}" + text(key) + value + b"s")


def stream(body: bytes, keys: bytes = b"].", tail: bytes = b"", little: bool = True) -> bytes:
    """Torch's older format around the opcodes of an object."""
    magic = program(b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little"), 2)
    system = pickle.dumps({"protocol_version": 1001, "little_endian": little, "type_sizes": {}}, protocol=2)
    return magic + pickle.dumps(1001, protocol=2) + system + program(body, 2) + b"\x80\x02" + keys + tail


def storage(count: int, key: str = "0", kind: bytes = b"ctorch\nFloatStorage\n", view: bytes = b"N") -> bytes:
    """Opcodes of a persistent storage of `count` numbers."""
    number = b"\x8a\x08" + struct.pack("<q", count)
    return b"(" + text("storage") + kind + text(key) + text("cpu") + number + view + b"tQ"


def tensor(source: bytes, offset: int = 0, shape: tuple[int, ...] = (1,), stride: tuple[int, ...] = (1,)) -> bytes:
    """Opcodes of a tensor over a storage."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    start = b"\x8a\x08" + struct.pack("<q", offset)
    hooks = b"ccollections\nOrderedDict\n)R"
    return call("torch._utils", "_rebuild_tensor_v2", source, start, numbers(shape), numbers(stride), b"\x89", hooks)


def flat(value: bytes) -> bytes:
    """Opcodes of a flat state dict whose one tensor is `value`."""
    return b"}" + text("synthesis.b4.const") + value + b"s"


def archive(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(name, data)
    return buffer.getvalue()


def safetensors(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of any header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data
