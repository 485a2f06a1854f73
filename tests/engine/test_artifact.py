"""The description of a model: round trip, and refusal of wrong descriptions and other files."""

from __future__ import annotations

import json

import onnx
import pytest
from tiny_models import ALL_KINDS, HEAT, describe, write_model

from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.errors import UserError
from sgi.engine.onnx_wire import read_metadata


def test_round_trip_through_json_and_file(model):
    artifact = describe(
        parity={"torch": {"max": 1e-6}}, cutoff=8, generator={"sha256": "c" * 64, "name": "rooms"}, c_dim=2
    )
    assert Artifact.from_json(artifact.to_json()) == artifact
    assert Artifact.read(model) == describe()


def test_later_versions_may_add_fields():
    text = json.dumps({**json.loads(describe().to_json()), "colour": "new"})
    assert Artifact.from_json(text) == describe()


def test_chosen_types_have_the_order_of_the_model():
    artifact = describe(("image", "depth", "normal"))
    assert artifact.choose_types(None) == ("image", "depth", "normal")
    assert artifact.choose_types(["normal", "image", "normal"]) == ("image", "normal")
    with pytest.raises(UserError, match="`types=albedo`: the model has image, depth, normal"):
        artifact.choose_types(["albedo"])
    with pytest.raises(UserError, match="`types`: name at least one type"):
        artifact.choose_types([])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resolution", 48),
        ("resolution", True),
        ("z_dim", 0),
        ("z_dim", 8.0),
        ("c_dim", -1),
        ("opset", "17"),
        ("psi", float("nan")),
        ("psi", None),
        ("cutoff", -1),
        ("noise_mode", "random"),
        ("precision", "int8"),
        ("types", []),
        ("types", "depth"),
        ("generator", {}),
        ("generator", "a"),
        ("offsets", {"depth": 1}),
        ("generator", {"sha256": "A" * 64}),
        ("offsets", {"depth": {"sha256": "b" * 63}}),
        ("offsets", {"fish": {"sha256": "b" * 64}}),
        ("parity", []),
        ("sgi_version", 1),
    ],
)
def test_a_wrong_field_is_named(field, value):
    text = json.dumps({**json.loads(describe().to_json()), field: value})
    with pytest.raises(UserError, match=rf"description is wrong (at {field}|.*`\$\.{field})"):
        Artifact.from_json(text)


@pytest.mark.parametrize("text", ['{"format": 1, "types": ' + "[" * 100_000, "[" * 100_000])
def test_json_nested_too_deep_is_refused(text):
    with pytest.raises(UserError, match="its description is not JSON"):
        Artifact.from_json(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Fish,1"}, "type 'Fish,1': a name has lower-case letters"),
        ({"channels": 2}, "type depth: has 2 channels"),
        ({"channels": 3, "png_bits": 8}, "type depth: 3 channels decoded by inverse are not the built-in depth"),
        ({"low": 1.0, "high": 0.0}, "type depth: its range is 1.0 to 0.0"),
        ({"low": "0"}, "type depth: its range is 0 to 1.0"),
        ({"unit": "m"}, "type depth: unknown field unit"),
        (
            {"name": "segmentation", "channels": 1, "low": 0, "high": 255, "decoding": "palette", "png_bits": 8},
            "classes",
        ),
    ],
)
def test_a_wrong_type_entry_is_refused(change, message):
    values = json.loads(describe(("depth",), offsets={}).to_json())
    values["types"][0] |= change
    with pytest.raises(UserError, match=message):
        Artifact.from_json(json.dumps(values))


def test_fields_missing_in_earlier_files_come_from_the_table_of_types():
    values = json.loads(describe(("shading",), offsets={}).to_json())
    values["types"][0] = {key: values["types"][0][key] for key in ("name", "channels", "low", "high", "meaning")}
    assert Artifact.from_json(json.dumps(values)) == describe(("shading",), offsets={})


def test_a_custom_type_is_described_completely():
    artifact = describe(ALL_KINDS)
    assert Artifact.from_json(artifact.to_json()) == artifact
    assert artifact.output("heat-map") == HEAT
    assert artifact.output("segmentation").classes == ("floor", "wall", "bed")


def test_another_format_version_is_refused():
    text = json.dumps({**json.loads(describe().to_json()), "format": 2})
    with pytest.raises(UserError, match="has format 2, this version reads 1: upgrade sgi-engine"):
        Artifact.from_json(text)


def test_missing_fields_and_other_json_are_refused():
    values = json.loads(describe().to_json())
    del values["psi"]
    with pytest.raises(UserError, match="missing required field `psi`"):
        Artifact.from_json(json.dumps(values))
    for text in ("[]", "{", "null", ""):
        with pytest.raises(UserError, match="its description"):
            Artifact.from_json(text)


def test_model_without_metadata(tmp_path):
    path = write_model(tmp_path / "bare.onnx", describe(), metadata={"author": "someone"})
    with pytest.raises(UserError, match=r"bare.onnx: a model without sgi-engine metadata; export it again"):
        Artifact.read(path)


def test_metadata_of_another_format_names_the_file(tmp_path):
    path = write_model(tmp_path / "new.onnx", describe(), metadata={METADATA_KEY: '{"format": 9}'})
    with pytest.raises(UserError, match=r"new.onnx: its description has format 9"):
        Artifact.read(path)


def test_truncated_models_are_refused_at_any_length(tmp_path, model):
    data = model.read_bytes()
    path = tmp_path / "cut.onnx"
    whole_fields = 0
    for length in [1, 2, 3, 10, 100, len(data) // 2, *range(len(data) - 1500, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="cut.onnx: ") as error:
            Artifact.read(path)
        if "truncated; copy it again" not in str(error.value):
            assert "without sgi-engine metadata" in str(error.value)
            whole_fields += 1
    assert whole_fields == 2  # cut after the graph and after the opset, before the metadata


@pytest.mark.parametrize("data", [b"", b"hello", b"version https://git-lfs.github.com/spec/v1\n", b"\x80" * 40])
def test_other_files_are_no_models(tmp_path, data):
    path = tmp_path / "other.onnx"
    path.write_bytes(data)
    with pytest.raises(UserError, match="not an ONNX model"):
        Artifact.read(path)


def test_missing_file_folder_and_other_suffix(tmp_path):
    with pytest.raises(UserError, match="none.onnx: no such file"):
        Artifact.read(tmp_path / "none.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(UserError, match="folder.onnx: cannot be read"):
        Artifact.read(tmp_path / "folder.onnx")
    (tmp_path / "model.pkl").write_bytes(b"x")
    with pytest.raises(UserError, match="not an exported model"):
        Artifact.read(tmp_path / "model.pkl")
    with pytest.raises(UserError, match="none.pkl: no such file"):
        Artifact.read(tmp_path / "none.pkl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xd8\xff", r"a picture \(JPEG\); export it again with"),
        (b"", "an empty file: download or copy it again, or export it again with"),
        (b"\x08", "x.onnx: truncated; copy it again, or export it again with"),
    ],
)
def test_the_remedy_is_a_clause_of_its_own(tmp_path, data, message):
    (tmp_path / "x.onnx").write_bytes(data)
    with pytest.raises(UserError, match=message):
        Artifact.read(tmp_path / "x.onnx")


@pytest.mark.parametrize("suffix", [".engine", ".plan"])
def test_sidecar(tmp_path, suffix):
    path = tmp_path / f"depth{suffix}"
    with pytest.raises(UserError, match="no such file"):
        Artifact.read(path)
    path.write_bytes(b"engine")
    with pytest.raises(UserError, match=r"its description depth.json is not beside it"):
        Artifact.read(path)
    path.with_suffix(".json").write_text(describe().to_json())
    assert Artifact.read(path) == describe()
    path.with_suffix(".json").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"depth.json: not JSON"):
        Artifact.read(path)


def test_metadata_is_read_as_onnx_reads_it(tmp_path):
    properties = {METADATA_KEY: describe().to_json(), "long": "x" * 70000, "empty": "", "unicode": "größe"}
    path = write_model(tmp_path / "many.onnx", describe(), metadata=properties)
    assert read_metadata(path) == {entry.key: entry.value for entry in onnx.load(path).metadata_props} == properties
