"""run.json: names of files, comparison of settings, seeds of all runs, and folders without it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sgi.engine.errors import UserError
from sgi.engine.run.record import RunRecord
from sgi.engine.run.run_file import claim_folder, read_run
from sgi.engine.seeds import parse_seeds

RECORD = RunRecord("a" * 64, ("image", "depth"), 0.7, None, "png", 6, "openvino", "cpu", batch=4)


def claim(outdir, record=RECORD, seeds="0-9", **facts):
    claim_folder(outdir, record, parse_seeds(seeds), facts)


@pytest.mark.parametrize(
    ("changes", "seed", "name"),
    [
        ({}, 42, "seed000042_depth.png"),
        ({}, 999, "seed000999_depth.png"),
        ({}, 1000, "00001/seed001000_depth.png"),
        ({}, 99999, "00099/seed099999_depth.png"),
        ({"digits": 10}, 2**32 - 1, "4294967/seed4294967295_depth.png"),
        ({"seeds_per_folder": 0}, 5000, "seed005000_depth.png"),
        ({"seeds_per_folder": 10, "file_format": "npy"}, 19, "00001/seed000019_depth.npy"),
    ],
)
def test_names_depend_on_the_seed_alone(changes, seed, name):
    assert replace(RECORD, **changes).file_names(seed)["depth"] == name


def test_a_folder_can_be_claimed_again_with_the_same_settings(tmp_path):
    claim(tmp_path, note="text")
    data = (tmp_path / "run.json").read_bytes()
    claim(tmp_path, seeds="3-4")
    assert (tmp_path / "run.json").read_bytes() == data
    run = read_run(tmp_path)
    assert run is not None
    assert (run.record, run.seeds, run.facts) == (RECORD, parse_seeds("0-9"), {"note": "text"})


def test_run_json_has_the_seeds_of_all_runs(tmp_path):
    for seeds in ("10-12", "0-9", "100"):
        claim(tmp_path, seeds=seeds)
    assert json.loads((tmp_path / "run.json").read_text())["seeds"] == "0-12,100"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"model_sha256": "b" * 64}, "another `model`"),
        ({"types": ("depth",)}, "`types=image,depth`, not depth"),
        ({"psi": 0.5}, "`psi=0.7`, not 0.5"),
        ({"class_index": 1}, "`class_index=none`, not 1"),
        ({"class_weights": ((0, 0.25), (2, 0.75))}, "`class_index=none`, not 0:0.25,2:0.75"),
        ({"file_format": "npy"}, "`file_format=png`, not npy"),
        ({"precision": "bf16"}, "`precision=that of the model`, not bf16"),
        ({"backend": "onnxruntime"}, "`backend=openvino`, not onnxruntime"),
        ({"device": "cuda"}, "`device=cpu`, not cuda"),
        ({"digits": 7}, "`digits=6`, not 7"),
        ({"seeds_per_folder": 0}, "`seeds_per_folder=1000`, not 0"),
        ({"batch": 8}, "`batch=4`, not 8"),
        ({"psi": 0.5, "file_format": "npy"}, "`psi=0.7`, not 0.5; `file_format=png`, not npy"),
    ],
)
def test_other_settings_are_refused(tmp_path, change, names):
    claim(tmp_path)
    message = f"its maps have other settings: {names}; use the same, or choose another `outdir`"
    with pytest.raises(UserError, match=message):
        claim(tmp_path, replace(RECORD, **change))


@pytest.mark.parametrize(
    ("facts", "refused"),
    [
        ({"model": {"graph_sha256": "c" * 64}, "versions": {"sgi-engine": "2"}}, False),
        ({"model": {"graph_sha256": "d" * 64}}, True),
        ({"model": {"graph_sha256": "c" * 64}, "maps": []}, True),
        ({"model": {"graph_sha256": None}}, True),
        ({}, True),
    ],
)
def test_another_file_of_the_same_graph_is_the_same_model(tmp_path, facts, refused):
    graph = facts.get("model", {}).get("graph_sha256") and "c" * 64
    claim(tmp_path, model={"graph_sha256": graph}, versions={"sgi-engine": "1"})
    other = replace(RECORD, model_sha256="b" * 64)
    if refused:
        with pytest.raises(UserError, match="another `model`"):
            claim(tmp_path, other, **facts)
    else:
        claim(tmp_path, other, **facts)
    run = read_run(tmp_path)
    assert run is not None
    assert run.record == RECORD


@pytest.mark.parametrize("name", ["seed0003_depth.png", "00001/seed001000_depth.npy", "seed000001_mask-bed.png"])
def test_a_folder_with_maps_and_without_run_json_is_refused(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"map")
    with pytest.raises(UserError, match=rf"it contains maps \({name}\) and no run.json that describes them; choose"):
        claim(tmp_path)
    assert not (tmp_path / "run.json").exists()


def test_other_files_do_not_matter(tmp_path):
    (tmp_path / "pairs.onnx").write_bytes(b"model")
    (tmp_path / "00001").mkdir()
    claim(tmp_path)


TRUNCATED = {"": "an empty file", "{": ".*", '{"format": 2, "ty': ".*", "[" * 100_000: "nested too deeply"}


@pytest.mark.parametrize("text", TRUNCATED)
def test_a_truncated_run_file_is_called_so(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=rf"its run.json is truncated or damaged \({TRUNCATED[text]}\); restore it"):
        claim(tmp_path)


TEXTS = ["[]", "{}", '{"format": 1}', '{"format": 2}', '{"format": 2, "seeds": "x"}']


@pytest.mark.parametrize("text", TEXTS)
def test_another_run_file_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"its run.json was not written by this version"):
        claim(tmp_path)


def test_seeds_that_are_no_text_are_refused(tmp_path):
    claim(tmp_path)
    values = json.loads((tmp_path / "run.json").read_text())
    for seeds in (None, 5, "9-1"):
        (tmp_path / "run.json").write_text(json.dumps({**values, "seeds": seeds}))
        with pytest.raises(UserError, match=r"its run.json was not written by this version"):
            claim(tmp_path)
