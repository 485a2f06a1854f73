"""`inspect_file`: typed descriptions of files."""

from __future__ import annotations

import json

import checkpoint_files as files
import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_models import describe, write_model

from sgi.engine import bundle
from sgi.engine.errors import UserError
from sgi.engine.inspect_file import inspect_file
from sgi.engine.offsets import Offset
from sgi.engine.run import run_seeds


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
    assert facts["supported"] == "yes"
    assert facts["import"] == f"sgi-engine import {path} --out network.safetensors"
    assert "refused" not in facts
    assert facts["resolution"] == 16


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        inspect_file(tmp_path / "x.safetensors")
    for name in ("network.pkl", "model.onnx", "directions.npy", "run.json", "folder"):
        with pytest.raises(UserError, match=f"{name}: no such file"):
            inspect_file(tmp_path / name)


def test_a_folder_of_train_lists_all_files_and_folders(tmp_path):
    Offset("depth", "w+", {"offset": np.ones((6, 12), np.float32)}, "c" * 64).save(tmp_path / "depth.safetensors")
    (tmp_path / "depth.png").touch()
    (tmp_path / "fits").mkdir()
    report = inspect_file(tmp_path)
    assert (report.kind, report.facts["files"]) == ("folder", ["depth.png", "depth.safetensors"])
    assert (report.facts["number of files"], report.facts["folders"]) == (2, ["fits"])


def test_a_run_folder_and_its_files(tmp_path):
    outdir = tmp_path / "runs" / "class0"
    model = write_model(tmp_path / "tiny.onnx", describe())
    run_seeds("0-2", model=model, outdir=outdir, file_format="npy")
    report = inspect_file(outdir)
    assert (report.kind, report.facts["psi"]) == ("run folder", 0.7)
    assert report.facts["finished seeds"] == {"manifest.jsonl": 3}
    kinds = {name: inspect_file(outdir / name).kind for name in ("run.json", "manifest.jsonl", "preview.png")}
    assert kinds == {"run.json": "settings of a run", "manifest.jsonl": "manifest of a run", "preview.png": "picture"}
    assert inspect_file(next(outdir.rglob("*depth*.npy"))).kind == "map"
    assert inspect_file(tmp_path / "runs").facts == {"folders": ["class0"]}
    assert inspect_file(tmp_path).kind == "folder"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("report.json", json.dumps({"verdicts": {}, "rows": [], "held_out": "0-9"}), "report of eval"),
        ("report.html", "<title>sgi-engine eval</title>", "report of eval"),
        ("rows.json", json.dumps({"what": "rows", "cases": [], "figures": {}}), "figures of ablate"),
        ("depth.json", json.dumps({"resolution": 64, "z_dim": 4, "types": [], "builder": {}}), "sidecar of an engine"),
        ("config.pbtxt", 'name: "maps"\nparameters { key: "sgi_engine" }\n', "configuration of a Triton model"),
    ],
)
def test_results(tmp_path, name, text, kind):
    (tmp_path / name).write_text(text)
    assert inspect_file(tmp_path / name).kind == kind


def test_latents(tmp_path):
    np.save(tmp_path / "w.npy", np.zeros((2, 12)))
    assert inspect_file(tmp_path / "w.npy").kind == "latents"
    rows = np.zeros((1, 6, 12), np.float32)
    np.savez(tmp_path / "projected_w.npz", w=rows)  # as NVIDIA's projector writes it
    report = inspect_file(tmp_path / "projected_w.npz")
    assert (report.kind, report.facts) == ("latents", {"w": {"shape": [1, 6, 12], "dtype": "float32"}})
    np.savez(tmp_path / "pictures.npz", first=rows, second=rows)
    assert inspect_file(tmp_path / "pictures.npz").kind == "archive of arrays"


def test_directions_and_the_bundle(tmp_path):
    np.save(tmp_path / "directions.npy", np.zeros((8, 10, 128), np.float32))
    report = inspect_file(tmp_path / "directions.npy")
    assert (report.kind, report.facts["shape"]) == ("latents or directions in w+", [8, 10, 128])
    assert inspect_file(bundle.FOLDER / "manifest.json").kind == "manifest of a bundle"


@pytest.mark.parametrize(
    ("name", "text"),
    [("x.json", "{}"), ("x.json", "{"), ("x.jsonl", "1\n"), ("x.npy", ""), ("x.html", "<p>"), ("x.png", "x")],
)
def test_other_and_damaged_results_are_one_line(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match=name):
        inspect_file(tmp_path / name)
    with pytest.raises(UserError, match="a folder without files that sgi-engine writes"):
        inspect_file(empty)


def test_inverted_pictures_with_a_run_of_their_latents(tmp_path):
    (tmp_path / "photo_ws.safetensors").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    report = inspect_file(tmp_path)
    assert (report.kind, report.facts["folders"]) == ("folder of inverted pictures", ["run"])
