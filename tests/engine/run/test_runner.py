"""`run_seeds`: the run command as a function with keyword arguments."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from recorded_progress import RecordedProgress
from tiny_models import SIDE, Z_DIM

from sgi.engine.artifact import Artifact
from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.errors import UserError
from sgi.engine.run import RunInterrupted, pipeline, run_seeds, verify_folder
from sgi.engine.writers import deflate, get_format


def test_files_and_report(model, tmp_path):
    progress = RecordedProgress()
    report = run_seeds(
        [3, 5, 5], model=model, types=["depth"], outdir=tmp_path, psi=0.5, file_format="npy", progress=progress
    )
    names = {
        "seed000003_depth.npy",
        "seed000005_depth.npy",
        "manifest.jsonl",
        "metadata.jsonl",
        "preview.png",
        "run.json",
    }
    assert {path.name for path in tmp_path.iterdir()} == names
    data = (tmp_path / "seed000003_depth.npy").read_bytes()
    assert get_format("npy").decode("depth", data).shape == (1, SIDE, SIDE)
    assert (report.written, report.found, report.types) == (2, 0, ("depth",))
    assert (report.outdir, report.preview) == (tmp_path, tmp_path / "preview.png")
    assert (report.backend, report.device, report.precision) == ("onnxruntime", "cpu", "fp32")
    assert report.images_per_second == pytest.approx(2 / report.seconds)
    assert progress.messages == ["1 duplicate seeds dropped"]
    assert progress.done == progress.totals == {"seeds": 2}
    size = sum(path.stat().st_size for path in tmp_path.glob("seed*"))
    assert (report.files, report.bytes) == (2, size)
    assert re.fullmatch(r"\d+\.\d seeds/s, \d\.\d kB, limit: (generate|encode|write)", progress.notes["seeds"][-1])
    assert progress.figures["seeds"]["bytes"] == size


def test_the_same_call_finds_the_seeds_finished(model, tmp_path):
    run_seeds("0-9", model=model, outdir=tmp_path, preview=False)
    progress = RecordedProgress()
    report = run_seeds("0-9", model=model, outdir=tmp_path, preview=False, progress=progress)
    assert (report.written, report.found, report.preview, report.images_per_second) == (0, 10, None, 0)
    assert progress.done == {"seeds": 10}


def test_the_first_run_chooses_the_batch_of_a_folder(model, tmp_path, monkeypatch):
    sizes = []
    run = OnnxRuntimeBackend.run

    def recorded(self, z, *arguments):
        sizes.append(len(z))
        return run(self, z, *arguments)

    monkeypatch.setattr(OnnxRuntimeBackend, "run", recorded)
    options = {"model": model, "outdir": tmp_path / "maps", "backend": "onnxruntime", "preview": False}
    run_seeds("0-2", **options, batch=5)
    run_seeds("0-9", **options)
    assert sizes == [3, 5, 5]  # ONNX Runtime's maps do not depend on the batch, so it needs no padding
    assert json.loads((tmp_path / "maps" / "run.json").read_text())["batch"] == 5
    with pytest.raises(UserError, match="its maps have other settings: `batch=5`, not 8; use the same, or choose"):
        run_seeds("0-9", **options, batch=8)
    old = json.loads((tmp_path / "maps" / "run.json").read_text())
    del old["batch"]
    (tmp_path / "maps" / "run.json").write_text(json.dumps(old))
    run_seeds("0-10", **options, batch=4)
    assert json.loads((tmp_path / "maps" / "run.json").read_text())["batch"] is None


def test_a_folder_that_grows_has_the_files_of_one_run(model, tmp_path):
    pytest.importorskip("openvino")
    options = {"model": model, "backend": "openvino", "file_format": "npy", "preview": False}
    for name, parts in (("grown", ("0-2", "0-9")), ("whole", ("0-9",))):
        for seeds in parts:
            run_seeds(seeds, outdir=tmp_path / name, batch=8, **options)
    for path in (tmp_path / "whole").iterdir():
        assert (tmp_path / "grown" / path.name).read_bytes() == path.read_bytes()


def test_all_does_not_hide_a_wrong_type(model, tmp_path):
    with pytest.raises(UserError, match="`types=bogus`: the model has image, depth"):
        run_seeds("0", model=model, outdir=tmp_path, types=["all", "bogus"])
    assert run_seeds("0", model=model, outdir=tmp_path, types=["depth", "all"]).types == ("image", "depth")


def test_ctrl_c_carries_the_count_of_finished_seeds(model, tmp_path, monkeypatch):
    def interrupted(engine, job, outcome, progress, rows):
        outcome.written = 3
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        run_seeds("0-9", model=model, outdir=tmp_path)
    assert isinstance(caught.value, RunInterrupted)
    assert (caught.value.finished, caught.value.total) == (3, 10)


@pytest.mark.parametrize("psi", [float("nan"), float("inf")])
def test_psi_must_be_finite(model, tmp_path, psi):
    with pytest.raises(UserError, match=f"`psi={psi}`: must be a number"):
        run_seeds(0, model=model, outdir=tmp_path / "out", psi=psi)
    assert not (tmp_path / "out").exists()


def maps(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*_*.png")}


def test_ten_shards_write_the_files_of_one_run(model, tmp_path):
    """A part of ten seeds alone would choose ONNX Runtime, and all seeds choose OpenVINO."""
    pytest.importorskip("openvino")
    for k in range(1, 11):
        report = run_seeds("0-99", model=model, outdir=tmp_path / "shards", shard=f"{k}/10", preview=False)
        assert report.backend == "openvino"
    run_seeds("0-99", model=model, outdir=tmp_path / "whole", preview=False)
    verify_folder(tmp_path / "shards")
    found = {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()}
    assert found == {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}


def test_auto_is_the_backend_of_the_folder(model, tmp_path):
    assert run_seeds("0-9", model=model, outdir=tmp_path).backend == "onnxruntime"
    report = run_seeds("0-99", model=model, outdir=tmp_path)
    assert (report.backend, report.written, report.found) == ("onnxruntime", 90, 10)
    with pytest.raises(UserError, match="its maps have other settings: `backend=onnxruntime`, not openvino; use"):
        run_seeds("0-99", model=model, outdir=tmp_path, backend="openvino")


def test_a_folder_whose_backend_is_not_available_is_refused(model, tmp_path):
    run_seeds("0-1", model=model, outdir=tmp_path)
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"onnxruntime",\n  "device"', '"faster",\n  "device"'))
    with pytest.raises(UserError, match=r"cannot be continued with the backend of its run.json: `backend=faster`: "):
        run_seeds("0-1", model=model, outdir=tmp_path)


def test_a_larger_run_extends_a_folder(model, tmp_path):
    run_seeds("0-2", model=model, outdir=tmp_path / "grown", backend="onnxruntime")
    run_seeds("0-2,1500-1502", model=model, outdir=tmp_path / "grown", backend="onnxruntime")
    run_seeds("0-2,1500-1502", model=model, outdir=tmp_path / "whole", backend="onnxruntime")
    assert "00001/seed001500_depth.png" in maps(tmp_path / "whole")
    assert maps(tmp_path / "grown") == maps(tmp_path / "whole")
    for name in ("run.json", "manifest.jsonl", "metadata.jsonl"):
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_is_continued_where_another_library_compresses_png_files(model, tmp_path, monkeypatch):
    pytest.importorskip("isal")
    with monkeypatch.context() as without:
        without.setattr(deflate, "isal_zlib", None)
        run_seeds("0-2", model=model, outdir=tmp_path, backend="onnxruntime")
    path, manifest = tmp_path / "manifest.jsonl", (tmp_path / "manifest.jsonl").read_text()
    path.write_text("".join(manifest.splitlines(keepends=True)[:-1]))  # a run that was killed before the last line
    before = maps(tmp_path)
    report = run_seeds("0-4", model=model, outdir=tmp_path, backend="onnxruntime", verify=True)
    after = maps(tmp_path)
    kept = [name for name in before if "000002" not in name]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert {Path(path).name for path in report.set_aside} == {
        f"{name}.set-aside" for name in before if "000002" in name
    }
    for name in before:
        again = tmp_path / (name if name in kept else f"{name}.set-aside")
        with Image.open(io.BytesIO(again.read_bytes())) as was, Image.open(tmp_path / name) as now:
            np.testing.assert_array_equal(np.asarray(was), np.asarray(now))
    assert verify_folder(tmp_path).is_complete


def test_digits_and_subfolders_are_those_of_the_folder(model, tmp_path):
    run_seeds("5", model=model, outdir=tmp_path, digits=8, seeds_per_folder=2)
    run_seeds("1,5", model=model, outdir=tmp_path)
    assert {"seed00000001_depth.png", "00002/seed00000005_depth.png"} < set(maps(tmp_path))
    with pytest.raises(UserError, match="`digits=8`, not 6; `seeds_per_folder=2`, not 0"):
        run_seeds("1", model=model, outdir=tmp_path, digits=6, seeds_per_folder=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": 0}, "`digits=0`: choose 1 to 10"),
        ({"digits": 11}, "`digits=11`: choose 1 to 10"),
        ({"digits": 3, "seeds": "1000"}, r"needs 4 digits in file names, which have 3; use `digits=4`"),
        ({"seeds_per_folder": -1}, "`seeds_per_folder=-1`: choose 1 to 4294967295, or 0"),
        ({"seeds_per_folder": 2**32}, "`seeds_per_folder=4294967296`: choose 1 to 4294967295, or 0"),
        ({"batch": 2**16 + 1}, "`batch=65537`: must be at most 65536"),
        ({"batch": 10**20}, "`batch=10{20}`: must be at most 65536"),
        ({"threads": 1025}, "`threads=1025`: must be at most 1024"),
        ({"threads": 10**11}, "`threads=10{11}`: must be at most 1024"),
    ],
)
def test_values_that_cannot_be(model, tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        run_seeds(**{"seeds": "0", **arguments}, model=model, outdir=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_seed_of_more_digits_than_the_folder(model, tmp_path):
    run_seeds("0", model=model, outdir=tmp_path)
    with pytest.raises(UserError, match=r"needs 7 digits in file names, which have 6; choose another `outdir`"):
        run_seeds("1000000", model=model, outdir=tmp_path)


def test_a_file_that_is_set_aside_is_named(model, tmp_path):
    run_seeds("0-2", model=model, outdir=tmp_path)
    (tmp_path / "seed000001_depth.png").write_bytes(b"")
    progress = RecordedProgress()
    report = run_seeds("0-2", model=model, outdir=tmp_path, progress=progress)
    assert report.set_aside == (tmp_path / "seed000001_depth.png.set-aside",)
    (message,) = progress.messages
    assert message.startswith(
        "seed000001_depth.png: not the file of this run, or damaged; kept as seed000001_depth.png."
    )


def test_run_json_is_enough_to_read_the_maps(all_types_model, tmp_path):
    """The values of every type follow from the files and the formula in run.json."""
    run_seeds("3", model=all_types_model, outdir=tmp_path, backend="onnxruntime")
    artifact = Artifact.read(all_types_model)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["latents"] == f"z of a seed: numpy.random.RandomState(seed).randn(1, {Z_DIM}), as float32"
    assert set(facts["versions"]) == {"sgi-engine", "python", "numpy", "onnxruntime", deflate.library()[0]}
    assert facts["model"]["resolution"] == SIDE
    for kind in facts["maps"]:
        name, encoding = kind["name"], kind["encoding"]
        path = tmp_path / f"seed000003_{name}.png"
        expected = get_format("png").decode(artifact.output(name), path.read_bytes())
        with Image.open(path) as picture:
            code = np.atleast_3d(np.asarray(picture)).transpose(2, 0, 1).astype(float)
        span = kind["high"] - kind["low"]
        if "index of the class" in encoding:
            np.testing.assert_array_equal(code, expected)
            continue
        if encoding.startswith("16-bit grey: value = low + code / 65535"):
            value = kind["low"] + code / 65535 * span
        else:
            u = code / 255
            direct = {"low + u *": u, "low + (1 - u)": 1 - u, "low + linear(u)": srgb_to_linear(u)}
            shares = [share for text, share in direct.items() if text in encoding]
            n = 2 * u - 1
            value = kind["low"] + shares[0] * span if shares else n / np.sqrt((n**2).sum(0) + 1e-6)
        np.testing.assert_allclose(value, expected, atol=1e-5 * span, err_msg=name)


def srgb_to_linear(u):
    return np.where(u <= 0.04045, u / 12.92, ((u + 0.055) / 1.055) ** 2.4)


def test_a_damaged_map_of_the_preview_is_set_aside_and_written_again(model, tmp_path):
    run_seeds("0-1", model=model, outdir=tmp_path)
    file = tmp_path / "seed000001_depth.png"
    whole = file.read_bytes()
    file.write_bytes(bytes(len(whole)))
    report = run_seeds("0-1", model=model, outdir=tmp_path)
    assert [Path(path).name for path in report.set_aside] == ["seed000001_depth.png.set-aside"]
    assert file.read_bytes() == whole


def test_types_can_be_one_name_and_must_not_be_empty(model, tmp_path):
    assert run_seeds("0", model=model, outdir=tmp_path, types="depth").types == ("depth",)
    with pytest.raises(UserError, match="`types`: name at least one type"):
        run_seeds("0", model=model, outdir=tmp_path / "other", types=[])
    with pytest.raises(UserError, match="`batch=0`"):
        run_seeds("0", model=model, outdir=tmp_path / "other", batch=0)
