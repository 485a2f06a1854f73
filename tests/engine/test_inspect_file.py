"""`inspect_file`: typed descriptions of files."""

from __future__ import annotations

import json

import checkpoint_files as files
import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import describe, write_model

from sgi.engine.errors import UserError
from sgi.engine.inspect_file import inspect_file
from sgi.engine.offsets import Offset


def test_an_exported_model(tmp_path):
    figures = {"torch": {"depth": {"max": 2e-6}, "image": {"max": 3e-6}}}
    report = inspect_file(write_model(tmp_path / "tiny.onnx", describe(parity={"runtimes": figures})))
    assert (report.kind, report.facts["resolution"]) == ("exported model", 16)
    assert report.size == report.path.stat().st_size
    outputs, parity = report.sections
    assert outputs.columns == ("channels", "range", "meaning")
    assert outputs.rows["depth"][:2] == (1, "0 to 1")
    assert parity.rows == {"image": (3e-6,), "depth": (2e-6,)}


def test_an_offset(tmp_path):
    rows = {"offset": {"fvu": 0.25}, "mean": {"fvu": 1.0}}
    offset = Offset("depth", "w+", {"offset": np.ones((6, 12), np.float32)}, "c" * 64, score={"rows": rows, "seeds": 8})
    offset.save(tmp_path / "depth.safetensors")
    report = inspect_file(tmp_path / "depth.safetensors")
    assert (report.kind, report.facts["type"], report.facts["parameters"]) == ("offset", "depth", 72)
    assert report.facts["tensors"] == ["offset [6, 12]"]
    assert report.facts["score"] == {"seeds": 8}
    assert report.sections[0].rows == {"offset": (0.25,), "mean": (1.0,)}


@pytest.mark.parametrize("kind", ["generator", "teacher", "discriminator", "latents"])
def test_other_files_of_ours(tmp_path, kind):
    save_file({"x": np.zeros((2, 3))}, tmp_path / "x.safetensors", {f"sgi_{kind}": json.dumps({"format": 1})})
    report = inspect_file(str(tmp_path / "x.safetensors"))
    assert (report.kind, report.facts) == (kind, {"parameters": 6, "format": 1})


def test_a_checkpoint_has_the_command_to_import_it(tmp_path, tiny_generator):
    path = tmp_path / "network.pkl"
    path.write_bytes(files.nvidia(tiny_generator))
    facts = inspect_file(path).facts
    assert facts["import"] == f"sgi-engine import {path} -o network.safetensors"
    assert "refused" not in facts
    assert facts["resolution"] == 16


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        inspect_file(tmp_path / "x.safetensors")
