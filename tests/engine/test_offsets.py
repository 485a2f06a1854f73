"""Offset files: round trip, and refusal of other and damaged files."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from safetensors.numpy import save_file

from sgi.engine.errors import UserError
from sgi.engine.offsets import Offset, OffsetHeader


def make(rows=6, **changes):
    tensors = {"offset": np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)}
    return Offset("depth", "w+", tensors, "a" * 64, **changes)


def test_round_trip(tmp_path):
    offset = make(psi=0.7, cutoff=3, teacher={"name": "t"}, fit={"steps": 3}, score={"fvu": 0.3})
    offset.save(tmp_path / "depth.safetensors")
    read = Offset.load(tmp_path / "depth.safetensors")
    np.testing.assert_array_equal(read.tensors.pop("offset"), offset.tensors.pop("offset"))
    assert read == offset


def test_the_header_has_all_fields_but_the_tensors():
    names = [field.name for field in fields(Offset)]
    assert sorted(OffsetHeader.__struct_fields__) == sorted(set(names) - {"tensors"})


def test_the_hash_depends_on_the_tensors_only():
    changed = make()
    changed.tensors["offset"][0, 0] += 1
    assert make(psi=0.5).sha256 == make().sha256 != changed.sha256


def test_rows():
    assert make().rows(6).shape == (6, 4)
    one = make(rows=1).rows(6)
    assert one.shape == (6, 4)
    assert (one == one[0]).all()
    with pytest.raises(UserError, match="depth offset has 6 rows, the generator 8"):
        make().rows(8)


def test_another_generator_is_refused():
    make().check_generator("a" * 64)
    with pytest.raises(UserError, match="fitted on generator aaaaaaaaaaaa, this one is bbbbbbbbbbbb"):
        make().check_generator("b" * 64)


def test_other_and_truncated_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"missing\.safetensors: no such file"):
        Offset.load(tmp_path / "missing.safetensors")
    plain = tmp_path / "plain.safetensors"
    save_file({"x": np.zeros(2, np.float32)}, plain)
    with pytest.raises(UserError, match="not an offset file"):
        Offset.load(plain)
    make().save(tmp_path / "whole.safetensors")
    data = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-5])
    with pytest.raises(
        UserError, match="not an offset file but a safetensors file of another length.*: download or copy it again"
    ):
        Offset.load(tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    "damage",
    [
        {"type": None}, {"psi": "1"}, {"fit": 3}, {"generator_sha256": 7}, "[]", "{", {"tensors": np.float64},
        {"tensors": np.nan},
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused(damage, tmp_path):
    header = {"format": 1, "type": "depth", "space": "w+", "generator_sha256": "a" * 64}
    rows = np.zeros((6, 4), np.float32)
    if isinstance(damage, dict) and "tensors" in damage:
        rows = rows.astype(np.float64) if damage["tensors"] is np.float64 else rows + np.float32(np.nan)
    elif isinstance(damage, dict):
        header |= damage
    path = tmp_path / "damaged.safetensors"
    save_file({"offset": rows}, path, {"sgi_offset": damage if isinstance(damage, str) else json.dumps(header)})
    with pytest.raises(UserError, match=r"damaged\.safetensors: damaged (header|offset file) .*; copy the file again"):
        Offset.load(path)


@pytest.mark.parametrize("semantics", [5, [1], {"name": "normal"}, {"name": "depth", "channels": 3, "png_bits": 8}])
def test_semantics_of_another_type_are_refused(semantics):
    with pytest.raises(UserError, match=r"no fields|describes the type normal|not the built-in depth"):
        make(semantics=semantics)


@pytest.mark.parametrize(("field", "value"), [("type", "dept"), ("space", "z")])
def test_unknown_types_and_spaces_are_refused(field, value):
    values = {"type": "depth", "space": "w+", "tensors": {}, "generator_sha256": "a" * 64} | {field: value}
    with pytest.raises(UserError, match="choose from"):
        Offset(**values)
