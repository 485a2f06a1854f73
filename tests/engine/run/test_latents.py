"""Runs of latents from files and of mixed seeds: files, records, continuation, shards and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from recorded_progress import RecordedProgress
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.errors import UserError
from sgi.engine.inspect_file import inspect_file
from sgi.engine.run import run_classes, run_seeds, verify_folder
from sgi.engine.seeds import latents
from sgi.export.onnx import export_onnx

ROWS, W_DIM, Z_DIM = 6, 12, 8
OPTIONS = {"backend": "onnxruntime", "device": "cpu", "file_format": "npy", "preview": False, "threads": 1}


@pytest.fixture(scope="module")
def exported(tiny_generator, tmp_path_factory):
    """An exported model of 16 px with z_dim 8 and w_dim 12, so that no shape fits two kinds."""
    path = tmp_path_factory.mktemp("model") / "tiny.onnx"
    export_onnx(tiny_generator, {"image": None}, path, psi=0.7)
    return path


@pytest.fixture(scope="module")
def ws(exported):
    """w+ of seeds 0 to 9 at psi 0.7, with different rows."""
    with Engine.open(exported, backend="onnxruntime", device="cpu") as engine:
        found = engine.mapping(seeds="0-9")
    return found + np.linspace(-0.5, 0.5, ROWS, dtype=np.float32)[:, None]


@pytest.fixture
def file(tmp_path, ws):
    np.save(tmp_path / "ws.npy", ws)
    return tmp_path / "ws.npy"


def run(outdir, exported, seeds=None, **options):
    return run_seeds(seeds, model=exported, outdir=outdir, **{**OPTIONS, **options})


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def maps(folder, stem):
    """The images of a folder in the order of numbers."""
    return np.stack([np.load(path) for path in sorted(folder.glob(f"{stem}*_image.npy"))])


def test_files_records_and_report(exported, file, tmp_path, ws):
    progress = RecordedProgress()
    out = tmp_path / "out"
    report = run(out, exported, latents=file, preview=True, progress=progress)
    assert (report.written, report.item) == (10, "latent")
    assert progress.done == progress.totals == {"latents": 10}
    names = [f"latent{number:04d}_image.npy" for number in range(10)]
    assert sorted(contents(out)) == [*names, "manifest.jsonl", "metadata.jsonl", "preview.png", "run.json"]
    with Engine.open(exported, backend="onnxruntime", device="cpu", input="w+") as engine:
        np.testing.assert_allclose(maps(out, "latent"), engine(ws=ws)["image"], atol=BACKEND_PARITY)
    for name, field in (("manifest.jsonl", "files"), ("metadata.jsonl", None)):
        lines = [json.loads(line) for line in (out / name).read_text().splitlines()]
        assert [line["latent"] for line in lines] == list(range(10))
        assert all("seed" not in line for line in lines)
        assert [line[field]["image"] if field else line["image_file_name"] for line in lines] == names
    record = json.loads((out / "run.json").read_text())
    assert (record["latents_kind"], record["psi"], record["rows"], record["digits"]) == ("w+", None, "0-9", 4)
    assert record["latents_files"] == [{"name": "ws.npy", "latents": 10}]
    assert record["latents"] == "w+ of the rows of these files, in this order"
    assert "seeds" not in record
    assert inspect_file(out).facts["finished latents"] == {"manifest.jsonl": 10}
    facts = inspect_file(out / "manifest.jsonl").facts
    assert (facts["latents"], facts["first latent"], facts["last latent"]) == (10, 0, 9)


def test_z_of_a_file_gives_the_maps_of_the_seeds(exported, tmp_path):
    np.save(tmp_path / "z.npy", latents(range(10), Z_DIM))
    run(tmp_path / "z", exported, latents=tmp_path / "z.npy", psi=0.5)
    run(tmp_path / "seeds", exported, "0-9", psi=0.5)
    np.testing.assert_array_equal(maps(tmp_path / "z", "latent"), maps(tmp_path / "seeds", "seed"))
    record = json.loads((tmp_path / "z" / "run.json").read_text())
    assert (record["latents_kind"], record["psi"]) == ("z", 0.5)


def test_w_and_w_plus_with_equal_rows_agree(exported, tmp_path, ws):
    w = ws[:, 0]
    np.save(tmp_path / "w.npy", w)
    np.savez(tmp_path / "ws.npz", w=w[:, None].repeat(ROWS, 1).astype(np.float64))
    run(tmp_path / "w", exported, latents=tmp_path / "w.npy")
    run(tmp_path / "ws", exported, latents=[tmp_path / "ws.npz"])
    np.testing.assert_allclose(maps(tmp_path / "w", "latent"), maps(tmp_path / "ws", "latent"), atol=BACKEND_PARITY)


def test_a_run_of_latents_is_continued_verified_and_sharded(exported, file, tmp_path):
    run(tmp_path / "whole", exported, latents=file, batch=4)
    whole = contents(tmp_path / "whole")
    for k in (2, 1, 3):
        run(tmp_path / "shards", exported, latents=file, batch=4, shard=f"{k}/3")
    report = verify_folder(tmp_path / "shards")
    assert (report.is_complete, report.finished, report.merged, report.item) == (True, 10, 3, "latent")
    assert contents(tmp_path / "shards") == whole
    (tmp_path / "whole" / "latent0003_image.npy").unlink()
    (tmp_path / "whole" / "latent0099_image.npy").write_bytes(b"foreign")
    report = verify_folder(tmp_path / "whole")
    assert (str(report.damaged), report.foreign) == ("3", ("latent0099_image.npy",))
    again = run(tmp_path / "whole", exported, latents=file, batch=4)
    assert (again.written, again.found) == (1, 9)
    (tmp_path / "whole" / "latent0099_image.npy").unlink()
    assert contents(tmp_path / "whole") == whole


def test_the_numbers_count_and_not_the_container(exported, file, tmp_path, ws):
    run(tmp_path / "out", exported, latents=file)
    for part, rows in (("a", ws[:4]), ("b", ws[4:])):
        np.savez(tmp_path / f"{part}.npz", ws=np.asfortranarray(rows.astype(np.float64)))
    report = run(tmp_path / "out", exported, latents=[tmp_path / "a.npz", tmp_path / "b.npz"])
    assert (report.written, report.found) == (0, 10)


def test_other_latents_in_the_same_folder_are_refused(exported, file, tmp_path, ws):
    run(tmp_path / "out", exported, latents=file)
    before = contents(tmp_path / "out")
    np.save(tmp_path / "other.npy", ws[:9])
    with pytest.raises(UserError, match="`latents`"):
        run(tmp_path / "out", exported, latents=tmp_path / "other.npy")
    with pytest.raises(UserError, match="it contains maps of latents; choose another `outdir`"):
        run(tmp_path / "out", exported, "0-9")
    assert contents(tmp_path / "out") == before
    run(tmp_path / "seeds", exported, "0-9")
    with pytest.raises(UserError, match="it contains maps of seeds; choose another `outdir`"):
        run(tmp_path / "seeds", exported, latents=file)


def test_digits_and_subfolders(exported, file, tmp_path):
    run(tmp_path / "a", exported, latents=file, digits=7, seeds_per_folder=4)
    found = {path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*_image.npy")}
    assert {"latent0000003_image.npy", "00001/latent0000004_image.npy", "00002/latent0000009_image.npy"} < found
    with pytest.raises(UserError, match=r"it contains maps|other settings"):
        run(tmp_path / "a", exported, latents=file, digits=4)


def test_a_map_that_is_not_finite_names_the_latent(exported, file, tmp_path, monkeypatch):
    compute = OnnxRuntimeBackend.run

    def damaged(self, latent, *arguments):
        found = compute(self, latent, *arguments)
        found["image"][3] = np.nan
        return found

    monkeypatch.setattr(OnnxRuntimeBackend, "run", damaged)
    with pytest.raises(UserError, match="the image map of latent 3 contains values that are not finite"):
        run(tmp_path / "out", exported, latents=file)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": "0"}, "pass either `seeds` or `latents`"),
        ({"latents": None}, "pass either `seeds` or `latents`"),
        ({"psi": 0.5}, r"`psi=0.5` has no effect on w\+, which is after the mapping network and truncation"),
        ({"class_index": 1}, r"`class_index=1` has no effect on w\+"),
        ({"latents_kind": "z"}, r"does not fit: the model needs z \[N, 8\]"),
        ({"latents_kind": "x"}, "`latents_kind=x`: choose from z, w, w"),
        ({"mix_seed": 1, "mix_rows": "0"}, "`mix_seed` mixes the latents of seeds; leave `latents` out"),
        ({"digits": 0}, "`digits=0`: choose 1 to 10"),
        ({"latents": []}, "`latents` is empty"),
        ({"latents": [5]}, "`latents=5`: must be the path of a file"),
    ],
)
def test_refused(exported, file, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", exported, **{"latents": file, **options})
    assert not (tmp_path / "out").exists()


def test_a_model_that_takes_w_plus(tiny_generator, tmp_path, ws):
    path = tmp_path / "ws.onnx"
    export_onnx(tiny_generator, {"image": None}, path, input="w+")
    np.save(tmp_path / "w.npy", ws[:, 0])
    run(tmp_path / "w", path, latents=tmp_path / "w.npy")
    assert len(maps(tmp_path / "w", "latent")) == 10
    np.save(tmp_path / "z.npy", latents(range(2), Z_DIM))
    with pytest.raises(UserError, match=r"does not fit: the model needs w \[N, 12\] or w\+ \[N, 6, 12\]"):
        run(tmp_path / "z", path, latents=tmp_path / "z.npy")
    with pytest.raises(UserError, match=r"`seeds`: the model takes w\+, not z: give `latents`, or another model"):
        run(tmp_path / "seeds", path, "0-9")


def test_z_of_a_conditional_model_needs_a_class(class_model, tmp_path):
    np.save(tmp_path / "z.npy", latents(range(2), Z_DIM))
    with pytest.raises(UserError, match="class_index"):
        run(tmp_path / "z", class_model, latents=tmp_path / "z.npy")
    run(tmp_path / "z", class_model, latents=tmp_path / "z.npy", class_index=1)
    run(tmp_path / "seeds", class_model, "0-1", class_index=1)
    np.testing.assert_array_equal(maps(tmp_path / "z", "latent"), maps(tmp_path / "seeds", "seed"))


def test_a_model_without_a_mapping_network_takes_z(model, tmp_path):
    np.save(tmp_path / "z.npy", latents(range(3), Z_DIM))
    run(tmp_path / "z", model, latents=tmp_path / "z.npy")
    run(tmp_path / "seeds", model, "0-2")
    np.testing.assert_array_equal(maps(tmp_path / "z", "latent"), maps(tmp_path / "seeds", "seed"))


def test_mixed_rows_are_those_of_the_other_seed(exported, tmp_path):
    run(tmp_path / "mixed", exported, "0-4", mix_seed=100, mix_rows="2-3,5", psi=0.5)
    with Engine.open(exported, backend="onnxruntime", device="cpu", input="w+") as engine:
        wanted = engine.mapping(seeds="0-4", psi=0.5)
        wanted[:, [2, 3, 5]] = engine.mapping(seeds=100, psi=0.5)[:, [2, 3, 5]]
        np.testing.assert_allclose(maps(tmp_path / "mixed", "seed"), engine(ws=wanted)["image"], atol=BACKEND_PARITY)
    record = json.loads((tmp_path / "mixed" / "run.json").read_text())
    assert (record["mix_seed"], record["mix_rows"], record["psi"], record["seeds"]) == (100, "2-3,5", 0.5, "0-4")
    assert record["latents"].endswith("; rows 2-3,5 of w+ are those of seed 100")
    report = run(tmp_path / "mixed", exported, "0-6", mix_seed=100, mix_rows="5,2-3", psi=0.5)
    assert (report.written, report.found) == (2, 5)
    for change in ({"mix_seed": 101}, {"mix_rows": "2-5"}, {"mix_seed": None, "mix_rows": None}):
        with pytest.raises(UserError, match="`mix_"):
            run(tmp_path / "mixed", exported, "0-4", **{"mix_seed": 100, "mix_rows": "2-3,5", "psi": 0.5, **change})


def test_all_rows_mixed_are_the_other_seed(exported, tmp_path):
    run(tmp_path / "all", exported, "0-1", mix_seed=7, mix_rows="0-5")
    run(tmp_path / "other", exported, "7")
    found, other = maps(tmp_path / "all", "seed"), maps(tmp_path / "other", "seed")
    np.testing.assert_allclose(found, np.repeat(other, 2, 0), atol=BACKEND_PARITY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mix_rows": "2-6"}, "`mix_rows=2-6`: write rows of w\\+ from 0 to 5, such as"),
        ({"mix_rows": "two"}, "`mix_rows=two`: write rows of w\\+ from 0 to 5"),
        ({"mix_rows": ""}, "`mix_rows=`: write rows of w\\+ from 0 to 5"),
        ({"mix_rows": None}, "`mix_seed`: say with `mix_rows` which rows of w\\+"),
        ({"mix_seed": None}, "`mix_rows` has no effect without `mix_seed`"),
        ({"mix_seed": -1}, "`mix_seed=-1`: a seed is an integer from 0"),
        ({"mix_seed": 1.5}, "`mix_seed=1.5`"),
    ],
)
def test_refused_mixing(exported, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path / "out", exported, "0-1", **{"mix_seed": 1, "mix_rows": "2-3", **options})
    assert not (tmp_path / "out").exists()


def test_mixing_needs_a_mapping_network(model, tmp_path):
    with pytest.raises(UserError, match="the affine layers of this graph were not found; export the model again"):
        run(tmp_path / "out", model, "0-1", mix_seed=1, mix_rows="2-3")
    assert not (tmp_path / "out").exists()


def test_several_mix_seeds_and_classes_have_folders(conditional_generator, tmp_path):
    path = tmp_path / "classes.onnx"
    export_onnx(conditional_generator, {"image": None}, path)
    options = {"model": path, "mix_rows": "4-7", **OPTIONS}
    reports = run_classes("0-1", "0,2", outdir=tmp_path / "many", mix_seed="100,200", **options)
    folders = [f"class{label}/mix000{other}" for label in (0, 2) for other in (100, 200)]
    assert [Path(report.outdir or "").relative_to(tmp_path / "many").as_posix() for report in reports] == folders
    one = run_classes("0-1", "2", outdir=tmp_path / "one", mix_seed=[200], **options)
    assert one[0].outdir == tmp_path / "one"
    assert contents(tmp_path / "one") == contents(tmp_path / "many" / "class2" / "mix000200")
    with pytest.raises(UserError, match="`mix_seed=2-1`: write seeds and inclusive ranges"):
        run_classes("0-1", "2", outdir=tmp_path / "one", mix_seed="2-1", **options)
