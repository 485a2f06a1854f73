"""Safetensors files with a JSON header: round trip, permissions, and one clear message for each kind of damage."""

from __future__ import annotations

import errno
import json
import math
import re
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sgi.engine.errors import UserError
from sgi.engine.tensor_file import FileKind, tensors_sha256


class Part(msgspec.Struct):
    rank: int


class Header(msgspec.Struct):
    name: str
    psi: float = 1.0
    cutoff: int | None = None
    facts: dict[str, Any] = {}
    part: Part | None = None


KIND = FileKind("sgi_test", 2, Header, "a test", "make one with `sgi-engine test`")
TENSORS: dict[str, np.ndarray] = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.ones(2, np.float16)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "test.safetensors"


def save(path, text):
    save_file(TENSORS, path, None if text is None else {KIND.key: text})


def message(path, read=KIND.read):
    with pytest.raises(UserError) as caught:
        read(path)
    return str(caught.value)


def test_header_and_tensors_come_back(path):
    header = Header("x", 0.5, 3, {"b": [1, None], "a": {"c": 2.5}}, Part(4))
    KIND.write(path, TENSORS, header)
    read, tensors = KIND.read(path)
    assert read == KIND.read_header(path) == header
    assert {name: array.dtype for name, array in tensors.items()} == {"a": np.float16, "b": np.float32}
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], array)


def test_torch_tensors_and_numpy_arrays_give_the_same_bytes(path):
    torch = pytest.importorskip("torch")
    KIND.write(path, TENSORS, Header("x"))
    data = path.read_bytes()
    KIND.write(path, {name: torch.from_numpy(array) for name, array in TENSORS.items()}, Header("x"))
    assert path.read_bytes() == data
    _, tensors = KIND.read(path, "pt")
    assert torch.equal(tensors["b"], torch.from_numpy(TENSORS["b"]))


def test_the_header_is_json_with_sorted_keys_and_the_format(path):
    KIND.write(path, TENSORS, Header("x", facts={"z": 1, "y": 2}))
    with safe_open(str(path), framework="np") as file:
        text = file.metadata()[KIND.key]
    assert text == json.dumps(json.loads(text), sort_keys=True)
    assert json.loads(text)["format"] == KIND.format


def test_fields_that_are_not_in_the_file_get_their_default_and_unknown_ones_are_ignored(path):
    save(path, json.dumps({"format": 2, "name": "x", "colour": "new"}))
    assert KIND.read_header(path) == Header("x")


def test_figures_that_are_not_a_number_can_be_read(path):
    save(path, '{"format": 2, "name": "x", "facts": {"fvu": NaN}}')
    assert math.isnan(KIND.read_header(path).facts["fvu"])


def test_another_kind_of_file_is_refused(path):
    save(path, None)
    assert message(path) == (
        f"{path}: not a test file but a safetensors file of another program; make one with `sgi-engine test`"
    )
    FileKind("sgi_other", 2, Header, "another", "").write(path, TENSORS, Header("x"))
    assert "not a test file" in message(path, KIND.read_header)


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_version_is_refused(path, version):
    save(path, json.dumps({"format": version}))
    assert f"a test file of format {version}, this version reads 2: upgrade sgi-engine, or make one" in message(path)


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"format": "2"}', "[" * 100_000, '"x'])
def test_a_damaged_header_is_refused(path, text):
    save(path, text)
    for read in (KIND.read, KIND.read_header):
        assert f"{path}: damaged header (" in message(path, read)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": 1}, "Expected `str`, got `int` - at `$.name`"),
        ({"name": None}, "`$.name`"),
        ({"psi": "1"}, "Expected `float`, got `str` - at `$.psi`"),
        ({"cutoff": 1.5}, "`$.cutoff`"),
        ({"cutoff": True}, "`$.cutoff`"),
        ({"facts": [1]}, "`$.facts`"),
        ({"part": {"rank": "4"}}, "`$.part.rank`"),
        ({"part": {}}, "missing required field `rank` - at `$.part`"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(path, change, field):
    save(path, json.dumps({"format": 2, "name": "x"} | change))
    text = message(path)
    assert field in text
    assert text.endswith("; copy the file again")


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_file_is_refused(path, length):
    KIND.write(path, TENSORS, Header("x"))
    path.write_bytes(path.read_bytes()[:length])
    assert re.search(
        ": not a test file but (an empty file|a damaged safe|a truncated safe|a safetensors file of another length)",
        message(path),
    )


def test_a_missing_file_is_refused(path):
    assert message(path) == message(path, KIND.read_header) == f"{path}: no such file"


def test_the_file_has_the_permissions_of_any_new_file(path, tmp_path):
    (tmp_path / "new").touch()
    KIND.write(path, TENSORS, Header("x"))
    assert path.stat().st_mode == (tmp_path / "new").stat().st_mode
    assert {p.name for p in tmp_path.iterdir()} == {"new", path.name}


def test_a_failed_write_leaves_the_old_file(path, tmp_path):
    KIND.write(path, TENSORS, Header("x"))
    data = path.read_bytes()
    with pytest.raises(TypeError):
        KIND.write(path, TENSORS, Header("x", facts={"y": object()}))
    assert path.read_bytes() == data
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_full_disk_is_an_os_error_that_names_the_file(path, tmp_path, monkeypatch):
    def full(arrays, temporary, metadata):
        # As the library raises it on a full disk.
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        KIND.write(tmp_path / "new.safetensors", {"x": np.zeros(3, np.float32)}, Header(name="x"))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "new.safetensors"))
    assert not list(tmp_path.glob("*new*"))


def test_the_hash_depends_on_names_shapes_numbers_and_prefix_only():
    same = dict(reversed(TENSORS.items())) | {"a": np.ones(2, np.float64)}
    assert tensors_sha256(same) == tensors_sha256(TENSORS)
    changed = [
        TENSORS | {"c": np.zeros(1, np.float32)},
        TENSORS | {"b": TENSORS["b"].reshape(3, 2)},
        TENSORS | {"b": TENSORS["b"] + 1},
    ]
    assert len({tensors_sha256(TENSORS), tensors_sha256(TENSORS, "prefix"), *map(tensors_sha256, changed)}) == 5
