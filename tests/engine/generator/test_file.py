"""The generator file: round trip with the same hash, and refusal of damaged files."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from sgi.engine.errors import UserError
from sgi.engine.generator import (
    GeneratorConfig,
    generator_sha256,
    load_generator,
    random_generator,
    save_generator,
)
from sgi.engine.generator.file import GENERATOR_FILE, read_header


def test_float32_round_trip_is_exact_and_keeps_the_hash(tmp_path, conditional_generator):
    path = tmp_path / "g.safetensors"
    sha256 = save_generator(path, conditional_generator, {"licence": "CC0"})
    loaded = load_generator(path)
    assert sha256 == generator_sha256(conditional_generator) == generator_sha256(loaded)
    assert loaded.config == conditional_generator.config
    assert read_header(path).notes == {"licence": "CC0"}
    for name, tensor in conditional_generator.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_float16_stores_and_hashes_the_rounded_network(tmp_path, tiny_generator):
    path, again = tmp_path / "half.safetensors", tmp_path / "again.safetensors"
    sha256 = save_generator(path, tiny_generator, dtype=torch.float16)
    loaded = load_generator(path)
    assert sha256 == generator_sha256(loaded) != generator_sha256(tiny_generator)
    for name, tensor in tiny_generator.state_dict().items():
        assert torch.equal(tensor.half().float(), loaded.state_dict()[name]), name
    assert save_generator(again, loaded) == sha256
    assert path.stat().st_size < 0.7 * again.stat().st_size


def test_the_file_has_the_permissions_of_any_new_file(tmp_path, tiny_generator):
    (tmp_path / "new").touch()
    save_generator(tmp_path / "g.safetensors", tiny_generator)
    assert (tmp_path / "g.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode


def test_the_hash_depends_on_the_config_and_every_tensor(tiny_generator):
    sha256 = generator_sha256(tiny_generator)
    other = random_generator(tiny_generator.config, seed=1)
    assert generator_sha256(other) == sha256
    other.mapping.w_avg[0] += 1
    assert generator_sha256(other) != sha256
    clamped = random_generator(replace(tiny_generator.config, conv_clamp=256.0), seed=1)
    assert generator_sha256(clamped) != sha256


def header(config: dict | str | None, **changes: object) -> dict[str, str]:
    return {GENERATOR_FILE.key: json.dumps({"format": 1, "config": config, **changes})}


BAD_HEADERS = {
    "not json": ({GENERATOR_FILE.key: "{"}, "damaged header"),
    "a list": ({GENERATOR_FILE.key: "[]"}, "damaged header"),
    "nested too deep": ({GENERATOR_FILE.key: "[" * 100_000}, "damaged header"),
    "no config": ({GENERATOR_FILE.key: '{"format": 1}'}, "damaged header"),
    "config of text": (header("64"), "damaged header"),
    "later format": (header({"resolution": 64}, format=2), "upgrade sgi-engine"),
    "unknown field": (header({"resolution": 64, "colour": 1}), "unknown fields colour"),
    "no resolution": (header({}), "no `resolution`"),
    "other sizes": (header({"resolution": 64}), "tensors do not match"),
    "resolution of text": (header({"resolution": "64"}), "`resolution=64`"),
    "endless mapping": (header({"resolution": 64, "mapping_layers": 10**9}), "`mapping_layers=1000000000`"),
    "huge layers": (header({"resolution": 64, "z_dim": 10**18}), "`z_dim=1000"),
}


@pytest.mark.parametrize("case", BAD_HEADERS)
def test_wrong_headers_raise_one_line_with_the_file_name(tmp_path, case):
    metadata, message = BAD_HEADERS[case]
    path = tmp_path / "g.safetensors"
    save_file({"mapping.w_avg": torch.zeros(4)}, path, metadata=metadata)
    with pytest.raises(UserError, match=message) as caught:
        load_generator(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("length", [0, 7, 8, 100, 5000])
def test_a_truncated_file_is_refused(tmp_path, tiny_generator, length):
    path = tmp_path / "g.safetensors"
    save_generator(path, tiny_generator)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UserError, match=r"g\.safetensors: not a generator file but .*: download or copy it again"):
        load_generator(path)


def test_a_missing_file_and_another_file_are_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load_generator(tmp_path / "g.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="convert it with `sgi-engine import`"):
        load_generator(tmp_path / "x.safetensors")


def test_non_square_pictures_are_refused_by_name(tmp_path, tiny_generator):
    path = tmp_path / "g.safetensors"
    save_generator(path, tiny_generator)
    header, state = GENERATOR_FILE.read(path, "pt")
    state["synthesis.b4.const"] = state["synthesis.b4.const"][:, :2].contiguous()
    GENERATOR_FILE.write(path, state, header)
    with pytest.raises(
        UserError, match="a network of non-square pictures .its constant has 4 x 2.; use a generator of"
    ):
        load_generator(path)


GOOD = GeneratorConfig(64)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resolution", 8),
        ("resolution", 48),
        ("resolution", 2048),
        ("resolution", 64.0),
        ("z_dim", 0),
        ("w_dim", -1),
        ("c_dim", -1),
        ("c_dim", True),
        ("mapping_layers", 65),
        ("channel_base", 1 << 21),
        ("channel_max", None),
        ("img_channels", 0),
        ("mapping_lr_multiplier", 0.0),
        ("mapping_lr_multiplier", float("nan")),
        ("mapping_lr_multiplier", None),
        ("conv_clamp", -1.0),
        ("conv_clamp", float("inf")),
        ("conv_clamp", "256"),
    ],
)
def test_config_errors_name_the_field(field, value):
    with pytest.raises(UserError, match=f"^`{field}="):
        replace(GOOD, **{field: value})


def test_config_sizes():
    assert GOOD.resolutions == (4, 8, 16, 32, 64)
    assert [GeneratorConfig(1024).channels(side) for side in (4, 64, 128, 1024)] == [512, 512, 256, 32]
    assert [GeneratorConfig(256, channel_base=16384).channels(side) for side in (4, 64, 256)] == [512, 256, 64]
    assert GeneratorConfig.from_dict(json.loads(json.dumps(GOOD.to_dict()))) == GOOD
