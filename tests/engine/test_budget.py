"""The limits of readers, and the readers that keep to them."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile

import numpy as np
import pytest

from sgi.engine import budget
from sgi.engine.errors import UserError


def test_a_budget_ends_with_its_reason():
    left = budget.Budget(2, "x: too much")
    left.spend()
    left.spend()
    with pytest.raises(UserError, match="^x: too much$"):
        left.spend()


SPECIAL = {
    "pipe": os.mkfifo,
    "folder": os.mkdir,
    "link to zeros": lambda path: os.symlink("/dev/zero", path),
    "link to a terminal": lambda path: os.symlink("/dev/tty", path),
    "link to itself": lambda path: os.symlink(path.name, path),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("follow", [True, False])
def test_only_regular_files_are_opened(tmp_path, kind, follow):
    path = tmp_path / "x"
    SPECIAL[kind](path)
    with pytest.raises(OSError):  # noqa: PT011  the text depends on the system
        budget.open_regular(path, follow=follow)
    assert not budget.is_regular(path)


def test_symbolic_links_are_followed_where_that_is_asked(tmp_path):
    (tmp_path / "file").write_bytes(b"hello")
    (tmp_path / "link").symlink_to("file")
    assert budget.read_bytes(tmp_path / "link") == b"hello"
    with pytest.raises(OSError, match="it is a symbolic link"):
        budget.read_bytes(tmp_path / "link", follow=False)


def test_long_files_are_refused(tmp_path):
    (tmp_path / "x").write_bytes(bytes(11))
    assert len(budget.read_bytes(tmp_path / "x", 11)) == 11
    with pytest.raises(OSError, match="larger than any file"):
        budget.read_bytes(tmp_path / "x", 10)


WRONG_JSON = {
    "[" * 200_000: "nested too deeply",
    "[" * 65 + "]" * 65: "nested too deeply",
    '{"a":' * 200_000 + "1" + "}" * 200_000: "nested too deeply",
    "[" + "1," * 60_000 + "1]": "more than 50000 values",
    "1" + "0" * 400: "more than 64 bits",
    "[9223372036854775808]": "more than 64 bits",
    "[NaN]": "not finite",
    "[1e999]": "not finite",
    '{"a": "\\ud800"}': "half a character",
    '{"\\ud800": 1}': "not text",
    "{": "Expecting",
    "": "Expecting",
}


@pytest.mark.parametrize("text", WRONG_JSON, ids=list(WRONG_JSON.values()))
def test_wrong_json(text):
    with pytest.raises(ValueError, match=WRONG_JSON[text]):
        budget.parse_json(text)


def test_json_within_the_limits():
    values = {"a": [1, -(1 << 63), 0.5, None, True, "\N{SNOWMAN}"], "b": {"c": []}}
    assert budget.parse_json(json.dumps(values)) == values
    assert np.isnan(budget.parse_json("[NaN]", finite=False)[0])


def test_values_that_are_reached_often_count_each_time():
    row: list = [0] * 10
    for _ in range(8):
        row = [row] * 10
    with pytest.raises(ValueError, match="more than 50000 values"):
        budget.check_plain(row)
    ring: list = []
    ring.append(ring)
    with pytest.raises(ValueError, match="nested too deeply"):
        budget.check_plain(ring)
    with pytest.raises(ValueError, match="of the type set"):
        budget.check_plain([{1}])


@pytest.mark.parametrize(
    "array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)), np.zeros((0, 4), np.uint8)]
)
def test_arrays_are_read(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(budget.read_npy(tmp_path / "x.npy"), array)


def npy(shape: str, descr: str = "'<f4'", data: bytes = bytes(16)) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


WRONG_ARRAYS = [
    npy("(1099511627776,)"), npy("(3,)"), npy("(5,)"), npy("(-4,)"), npy("(4294967296, 4294967296)"),
    npy("(4,)", "'|O'"), npy("(4,)", "'<U4'"), npy("(4,)", "[('a', '<f4')]"), npy("(1,) * 99"), npy("'x"),
    npy("(" * 300),
    npy("-" * 9000 + "1"), b"", b"\x93NUMPY",
    b"\x93NUMPY\x09\x00" + bytes(20), npy("(4,)")[:20],
]  # fmt: skip


@pytest.mark.parametrize("data", WRONG_ARRAYS)
def test_wrong_arrays(data):
    with pytest.raises(ValueError):  # noqa: PT011  the text is NumPy's
        budget.read_npy(data)


def test_archives_of_arrays(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(4), b=np.zeros((2, 2)))
    assert {name: array.shape for name, array in budget.read_npz(path).items()} == {"a": (4,), "b": (2, 2)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", npy("(100000000,)", "'|u1'", bytes(100_000_000)))
    with pytest.raises(ValueError, match="much larger than the file"):
        budget.read_npz(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ValueError):  # noqa: PT011  the text is Python's
        budget.read_npz(path)


def test_only_archives_without_compression_are_states(tmp_path):
    for compression, accepted in ((zipfile.ZIP_STORED, True), (zipfile.ZIP_DEFLATED, False)):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as file:
            file.writestr("data.pkl", bytes(1000))
        (tmp_path / "x.pt").write_bytes(buffer.getvalue())
        if accepted:
            budget.check_stored_zip(tmp_path / "x.pt")
        else:
            with pytest.raises(ValueError, match="compressed"):
                budget.check_stored_zip(tmp_path / "x.pt")


def test_headers_of_safetensors_have_a_limit(tmp_path):
    (tmp_path / "x").write_bytes(struct.pack("<Q", 1 << 30) + b"{}")
    with pytest.raises(ValueError, match="header claims 1073741824 bytes"):
        budget.check_safetensors(tmp_path / "x")
