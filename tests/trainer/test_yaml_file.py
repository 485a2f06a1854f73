"""YAML files of a user: aliases, numbers and types that would take much memory or time are refused."""

from __future__ import annotations

import pytest
from attacks.generated import YAML_BOMBS

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.trainer.offsets.type_file import load_type
from sgi.trainer.yaml_file import read_mapping


@pytest.mark.parametrize("name", YAML_BOMBS)
def test_hostile_files_are_refused_with_one_line(tmp_path, name):
    path = tmp_path / "type.yaml"
    path.write_text(YAML_BOMBS[name])
    with pytest.raises(UserError) as refused:
        load_type(path)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_a_model_in_place_of_its_description_is_named(tmp_path):
    path = tmp_path / "depth.onnx"
    path.write_bytes(bundle.MODEL.read_bytes())
    with pytest.raises(UserError, match="`x`: not YAML but an exported model of sgi-engine; name the YAML file that"):
        read_mapping(path, "`x`", "teachers")


def test_a_few_aliases_are_allowed(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: &a [0.5, 0.5, 0.5]\nb: *a\n")
    assert read_mapping(path, "`x`", "train") == {"a": [0.5] * 3, "b": [0.5] * 3}
