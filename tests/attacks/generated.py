"""Attacks made from a good file of any kind: depth, fan-out, claimed sizes, wrong types, truncation, special files.

`attacks` lists them for one kind. An attack changes the file in a copy of the folder of its kind.
"""

from __future__ import annotations

import copy
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from attacks.file_kinds import Kind

Change = Callable[[Path], None]
DEEP = 200_000
ESCAPES = "\x1b]0;x\x07\x1b[31m\u202e[bold]"


class Raw(str):
    """JSON text that stands in for a value."""

    __slots__ = ()


WRONG: dict[str, Any] = {
    "NaN": Raw("NaN"),
    "infinity": Raw("-Infinity"),
    "1e999": Raw("1e999"),
    "400 digits": Raw("1" + "0" * 400),
    "5000 digits": Raw("1" + "0" * 5000),
    "2^28": 1 << 28,
    "3e9": 3_000_000_000,
    "2^63": 1 << 63,
    "-1": -1,
    "0": 0,
    "0.5": 0.5,
    "true": True,
    "null": None,
    "text": "x",
    "number as text": "16",
    "escapes": ESCAPES,
    "half a character": Raw('"\\ud800"'),
    "long text": "x" * 200_000,
    "list": [],
    "dict": {},
    "list of lists": [[]],
    "deep list": Raw("[" * DEEP + "]" * DEEP),
    "open list": Raw("[" * DEEP),
    "deep dict": Raw('{"a":' * DEEP + "1" + "}" * DEEP),
    "wide list": Raw("[" + "1," * 1_000_000 + "1]"),
    "wide dict": Raw("{" + ",".join(f'"{i}":{{}}' for i in range(45_000)) + "}"),
    "many texts": ["x" * 100] * 5000,
    "a path": "../../../../tmp/evil",
    "empty text": "",
}
"""Values in place of a value of a header, by name."""
BIG_TEXTS = {
    "brackets": b"[" * 1_000_000,
    "braces": b'{"a":' * DEEP,
    "zeros": bytes(1_000_000),
    "digits": b"9" * 1_000_000,
    "long line": b"x" * 5_000_000,
    "lines": b"\n" * 1_000_000,
    "binary": bytes(range(256)) * 100,
    "nothing": b"",
    "one byte": b"\x80",
    "page": b"<!DOCTYPE html><html>404</html>",
    "varints": b"\x08" + b"\xff" * 1_000_000,
    "small fields": b"\x08\x01" * 500_000,
    "commas": b"1," * 1_000_000,
    "descending": b"",
}
BIG_TEXTS["descending"] = ",".join(str(seed) for seed in range(1_000_000, 0, -2)).encode()
YAML_BOMBS = {
    "aliases": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))
    + "name: *i\nchannels: *i\nmeaning: *i\n",
    "merge keys": "a: &a {x: 1}\n"
    + "".join(f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{','.join(['*' + chr(97 + i)] * 20)}]}}\n" for i in range(6)),
    "an alias of itself": "name: &a [*a]\nchannels: 1\nmeaning: m\n",
    "flow": "a: " + "[" * 60_000,
    "indents": "".join("  " * i + "- \n" for i in range(240)),
    "dates": "name: 2020-99-99\nchannels: 1\n",
    "sixty": "low: " + ":".join(["59"] * 20_000),
    "tags": "name: !!python/object/apply:os.system [id]\n",
    "sets": "name: !!set {a, b}\nchannels: !!binary aGVsbG8=\n",
    "anchors": "".join(f"k{i}: &a{i} 1\n" for i in range(5000)),
    "numbers": "channels: " + "9" * 60_000,
}


def paths_of(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in nested lists and dicts, the whole first."""
    yield path
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield from paths_of(value, (*path, key))


def with_value(values: Any, path: tuple[Any, ...], value: Any) -> str:
    """The JSON text of `values` with another value at a path."""
    mark = "@@raw@@"
    new = mark if isinstance(value, Raw) else value
    if not path:
        return value if isinstance(value, Raw) else json.dumps(value)
    changed = copy.deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = new
    text = json.dumps(changed)
    return text.replace(f'"{mark}"', value) if isinstance(value, Raw) else text


def without(values: Any, path: tuple[Any, ...]) -> str:
    """The JSON text of `values` without the value at a path."""
    changed = copy.deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return json.dumps(changed)


def attacks(kind: Kind) -> dict[str, Change]:
    """Every generated attack on one kind of file, by name."""
    found: dict[str, Change] = {}

    def write(name: str, make: Callable[..., bytes], *arguments: Any) -> None:
        found[name] = lambda root: _replace(root / kind.file, make(*arguments))

    data = kind.data
    for name, text in BIG_TEXTS.items():
        write(f"filled with {name}", bytes, text)
    write("a good start and zeros", lambda: data[: len(data) // 2] + bytes(5_000_000))
    write("twice", lambda: data + data)
    for part in range(1, 16):
        write(f"truncated at {part}/16", bytes, data[: len(data) * part // 16])
    write("without its last byte", bytes, data[:-1])
    if kind.embed is not None:
        embed = kind.embed

        def replaced(path: tuple[Any, ...], value: Any) -> bytes:
            return embed(data, with_value(kind.values, path, value))

        def removed(path: tuple[Any, ...]) -> bytes:
            return embed(data, without(kind.values, path))

        for path in paths_of(kind.values):
            where = ".".join(map(str, path)) or "all"
            for name, value in WRONG.items():
                write(f"{where}: {name}", replaced, path, value)
            if path:
                write(f"{where}: missing", removed, path)
        write("an unknown key", lambda: embed(data, json.dumps({**kind.values, ESCAPES: ESCAPES})))
    if kind.file.endswith(".yaml"):
        for name, bomb in YAML_BOMBS.items():
            write(f"YAML {name}", bomb.encode)
    for suffix, make in _BINARY.items():
        if kind.file.endswith(suffix):
            for name, content in make().items():
                write(f"{suffix} {name}", bytes, content)
    return {**found, **{name: special_attack(kind, change) for name, change in SPECIAL.items()}}


def _npy(header: str, data: bytes = bytes(16), version: bytes = b"\x01\x00") -> bytes:
    text = header.encode()
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + data


@cache
def _arrays() -> dict[str, bytes]:
    row = "{'descr': '%s', 'fortran_order': False, 'shape': %s}"
    return {
        "of 2^40": _npy(row % ("<f4", "(1099511627776,)")),
        "that overflows": _npy(row % ("<f4", "(4294967296,4294967296,2)")),
        "of negative size": _npy(row % ("<f4", "(-4,)")),
        "of objects": _npy(row % ("|O", "(2,)")),
        "of 90 axes": _npy(row % ("<f4", "(" + "1," * 90 + ")")),
        "of NaN axes": _npy(row % ("<f4", "(1e999,)")),
        "of 1 GB texts": _npy(row % ("<U268435456", "(1,)")),
        "of a long header": _npy("(" * 60_000),
        "of a header of signs": _npy("-" * 60_000 + "1"),
        "of 4 GB header": _npy("{}", version=b"\x02\x00")[:8] + b"\xff" * 8,
        "of version 9": _npy(row % ("<f4", "(4,)"), version=b"\x09\x00"),
        "of records": _npy("{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (4,)}"),
        "of zero numbers": _npy(row % ("<f4", "(0,)"), b""),
        "of a call": _npy("{'descr': __import__('os'), 'shape': ()}"),
    }


@cache
def _archives() -> dict[str, bytes]:
    def archive(entries: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
            for name, data in entries.items():
                file.writestr(name, data)
        return buffer.getvalue()

    zeros = _npy("{'descr': '|u1', 'fortran_order': False, 'shape': (100000000,)}", bytes(100_000_000))
    entries = {f"{i}.npy": _npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}") for i in range(20_000)}
    return {
        "bomb": archive({"seconds.npy": zeros}),
        "of 20,000 arrays": archive(entries),
        "empty": archive({}),
        "with a path": archive({"../../x.npy": b""}),
        "with a pickle": archive({"archive/data.pkl": b"\x80\x02" + bytes(30_000_000)}),
    }


@cache
def _pictures() -> dict[str, bytes]:
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def picture(width: int, height: int, *parts: bytes) -> bytes:
        head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        return (
            b"\x89PNG\r\n\x1a\n"
            + head
            + b"".join(parts)
            + chunk(b"IDAT", zlib.compress(bytes(50_000)))
            + chunk(b"IEND", b"")
        )

    text = zlib.compress(bytes(50_000_000), 9)
    return {
        "of 50,000^2": picture(50_000, 50_000),
        "of 2^31": picture((1 << 31) - 1, (1 << 31) - 1),
        "of 0": picture(0, 0),
        "of 9000^2": picture(9000, 9000),
        "with a text bomb": picture(16, 16, chunk(b"zTXt", b"a\0\0" + text)),
        "with a profile bomb": picture(16, 16, chunk(b"iCCP", b"a\0\0" + text)),
    }


@cache
def _graphs() -> dict[str, bytes]:
    import onnx
    from attacks.graphs import graphs

    return {name: model.SerializeToString() for name, model in graphs(onnx).items()}


_BINARY: dict[str, Callable[[], dict[str, bytes]]] = {
    ".npy": _arrays,
    ".npz": _archives,
    ".pt": _archives,
    ".png": _pictures,
    ".onnx": _graphs,
}


def _replace(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": lambda path: os.mkfifo(path),
    "a link to zeros": _link("/dev/zero"),
    "a link to random numbers": _link("/dev/urandom"),
    "a link to a terminal": _link("/dev/tty"),
    "a link to nothing": _link("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a link to a password": _link("/etc/passwd"),
    "a folder": lambda path: path.mkdir(),
    "missing": lambda path: None,
}


def special_attack(kind: Kind, make: Callable[[Path], None]) -> Change:
    """An attack of SPECIAL on one kind of file."""

    def change(root: Path) -> None:
        (root / kind.file).unlink()
        make(root / kind.file)

    return change
