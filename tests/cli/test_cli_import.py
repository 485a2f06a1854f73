"""`import`, and `inspect` and `--generator`, on checkpoints of other projects."""

from __future__ import annotations

import checkpoint_files as files
import pytest
import torch

from sgi.engine.generator import GeneratorConfig, generator_sha256, load_generator, random_generator
from sgi.engine.generator.file import read_header

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)


@pytest.fixture(scope="module")
def small():
    return random_generator(SMALL, seed=9)


@pytest.fixture
def pickled(tmp_path, small):
    path = tmp_path / "network.pkl"
    path.write_bytes(files.nvidia(small, fp16_from=16))
    return path


def test_import_stores_network_and_source_without_private_paths(command, tmp_path, pickled, small):
    out_path = tmp_path / "room.safetensors"
    code, out, err = command("import", pickled, "-o", out_path)
    assert (code, err) == (0, "")
    assert out.startswith(f"{out_path}: 16 px, read as NVIDIA PyTorch pickle; sha256 {generator_sha256(small)}")
    assert "not imported: training_set_kwargs" in out
    assert generator_sha256(load_generator(out_path)) == generator_sha256(small)
    source = read_header(out_path).notes["source"]
    assert source["format"] == "NVIDIA PyTorch pickle"
    assert source["fp16_blocks"] == [16]
    assert len(source["sha256"]) == 64
    assert b"/home/" not in out_path.read_bytes()
    assert str(tmp_path).encode() not in out_path.read_bytes()


def test_import_half_rounds_and_prints_assumptions(command, tmp_path, small):
    path, out_path = tmp_path / "550000.pt", tmp_path / "half.safetensors"
    path.write_bytes(files.rosinality(small))
    code, out, err = command("import", path, "--out", out_path, "--half")
    assert (code, err) == (0, "")
    assert "assumed: the format does not store the learning-rate multiplier" in out
    loaded = load_generator(out_path)
    assert torch.equal(loaded.mapping.w_avg, small.mapping.w_avg.half().float())


def test_import_without_out_uses_the_name_of_the_checkpoint(command, tmp_path, pickled, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("import", pickled)[0] == 0
    assert (tmp_path / "network.safetensors").exists()


def test_import_errors_are_one_line_and_write_nothing(command, tmp_path, pickled, small):
    native = tmp_path / "native.safetensors"
    assert command("import", pickled, "-o", native)[0] == 0
    flat = tmp_path / "flat.safetensors"
    flat.write_bytes(b"")
    resnet = tmp_path / "resnet.pkl"
    resnet.write_bytes(files.nvidia(small, lambda s: s["synthesis.b8"][1].update(architecture="resnet")))
    cut = tmp_path / "cut.pkl"
    cut.write_bytes(pickled.read_bytes()[:-1000])
    before = sorted(tmp_path.iterdir())
    for arguments, message in (
        ([tmp_path / "missing.pkl", "-o", tmp_path / "x.safetensors"], "missing.pkl: no such file"),
        ([pickled, "-o", tmp_path / "x.onnx"], "x.onnx: the name must end in .safetensors"),
        ([pickled, "-o", tmp_path / "no" / "x.safetensors"], "make it first"),
        ([native, "-o", tmp_path / "x.safetensors"], "already a generator file of sgi-engine"),
        ([flat, "-o", flat], "this is the checkpoint"),
        ([resnet, "-o", tmp_path / "x.safetensors"], "of the resnet architecture"),
        ([cut, "-o", tmp_path / "x.safetensors"], "truncated"),
    ):
        code, out, err = command("import", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_inspect_a_checkpoint(command, tmp_path, pickled, small):
    code, out, err = command("inspect", pickled)
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    parameters = sum(p.numel() for p in small.parameters())
    for words in (
        "NVIDIA PyTorch pickle, ",
        " kB supported yes packing pickle",
        "resolution 16",
        "channels.8 16",
        "fp16_blocks 16",
        f"parameters {parameters:,}",
        "private_paths training_set_kwargs.path",
        "import sgi-engine import",
    ):
        assert words in text


def test_inspect_prints_why_import_would_refuse_a_checkpoint(command, tmp_path, small):
    path = tmp_path / "resnet.pkl"
    path.write_bytes(files.nvidia(small, lambda s: s["synthesis.b8"][1].update(architecture="resnet")))
    code, out, err = command("inspect", path)
    assert (code, err) == (0, "")
    assert "of the resnet architecture" in " ".join(out.split())


def test_names_from_a_file_are_printed_without_markup_and_escapes(command, tmp_path, small):
    path = tmp_path / "odd.pkl"
    odd = "[/red]\x1b[31m\n" + "x" * 5000
    path.write_bytes(files.nvidia(small, rest={odd: {odd: "/home"}}))
    for arguments in (["inspect", path], ["import", path, "-o", tmp_path / "x.safetensors"]):
        code, out, err = command(*arguments)
        assert (code, err) == (0, "")
        assert "[/red]" in out
        assert "\x1b[31m" not in out
        assert len(out) < 5000


def test_inspect_a_state_dict_in_safetensors(command, tmp_path, small):
    from safetensors.torch import save_file

    save_file(dict(small.state_dict()), tmp_path / "converted.safetensors")
    code, out, err = command("inspect", tmp_path / "converted.safetensors")
    assert (code, err) == (0, "")
    assert "flat StyleGAN2 state dict (safetensors)" in " ".join(out.split())


def test_export_reads_a_checkpoint_without_import(command, tmp_path, pickled):
    code, _, err = command(
        "export", "--generator", pickled, "--type", "image", "--out", tmp_path / "room.onnx", "--quiet"
    )
    assert (code, err) == (0, "")
    assert (tmp_path / "room.onnx").exists()
