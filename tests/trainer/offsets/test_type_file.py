"""A user's own types: valid and invalid YAML files."""

from __future__ import annotations

import pytest

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.trainer.offsets.type_file import load_type


def write(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_optional_fields_have_defaults(tmp_path):
    path = write(tmp_path, "name: roughness\nchannels: 1\nmeaning: 0 mirror to 1 chalk\n")
    assert load_type(path) == Intrinsic("roughness", 1, 0, 1, "identity", "0 mirror to 1 chalk")


def test_every_field_can_be_given(tmp_path):
    path = write(tmp_path, "{name: heat, channels: 1, meaning: C, low: -20, high: 60, decoding: inverse, png_bits: 16}")
    assert load_type(path) == Intrinsic("heat", 1, -20, 60, "inverse", "C", 16)


def test_classes_determine_the_range(tmp_path):
    path = write(tmp_path, "{name: parts, channels: 1, meaning: m, decoding: palette, classes: [leg, seat, back]}")
    assert load_type(path).high == 2
    assert load_type(path).classes == ("leg", "seat", "back")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "not a description of a type; name, channels and meaning are needed"),
        ("1: 2", "not a description of a type"),
        ("x" * 100_000, "larger than any file of this kind"),
        ("{", "not YAML"),
        ("!!python/object/apply:os.system [true]", "not YAML"),
        ("{name: Heat, channels: 1, meaning: m}", "type 'Heat': a name has lower-case letters"),
        ("{name: heat, meaning: m}", "type heat: lacks a field"),
        ("{name: heat, channels: 1, meaning: m, unit: K}", "unknown field unit"),
        ("{name: normal, channels: 1, meaning: m}", "are not the built-in normal"),
    ],
)
def test_invalid_descriptions_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as refused:
        load_type(write(tmp_path, text))
    assert str(refused.value).startswith("`type_files=")
    assert "\n" not in str(refused.value)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml`: no such file"):
        load_type(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        load_type(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="not YAML"):
        load_type(tmp_path / "binary.yaml")
