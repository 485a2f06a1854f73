"""`verify_folder(render=...)`: seeds rendered again and compared with their files, and the model that is compared."""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np
import pytest
from recorded_progress import RecordedProgress
from tiny_models import describe, write_model

from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.errors import UserError
from sgi.engine.run import run_seeds, verify_folder
from sgi.engine.writers import get_format

OPTIONS: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu", "preview": False, "threads": 1}


def write(model, outdir, seeds="0-9", **options):
    run_seeds(seeds, model=model, outdir=outdir, **{**OPTIONS, **options})


def forge(folder, name, kind, data):
    """Replace a map, and its hash in the manifest."""
    (folder / name).write_bytes(data)
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        if line["files"][kind] == name:
            line["bytes"][kind], line["sha256"][kind] = len(data), hashlib.sha256(data).hexdigest()
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_maps_of_the_model_are_identical(all_types_model, tmp_path, file_format):
    write(all_types_model, tmp_path, file_format=file_format)
    progress = RecordedProgress()
    report = verify_folder(tmp_path, render=3, model=all_types_model, progress=progress)
    assert (len(report.rendering.seeds), report.rendering.identical, report.rendering.different) == (3, 3, ())
    assert (report.rendering.backend, report.rendering.another, report.findings) == ("onnxruntime", False, ())
    assert progress.done["rendered again"] == 3
    assert len(verify_folder(tmp_path, render=50, model=all_types_model).rendering.seeds) == 10
    assert verify_folder(tmp_path).rendering.seeds == ()


def test_a_forged_map_with_a_right_hash_is_found(model, tmp_path):
    write(model, tmp_path)
    forge(tmp_path, "seed000003_depth.png", "depth", (tmp_path / "seed000004_depth.png").read_bytes())
    report = verify_folder(tmp_path, render=10, model=model)
    assert report.is_complete
    (found,) = report.rendering.different
    assert (found.seed, found.type, found.file) == (3, "depth", str(tmp_path / "seed000003_depth.png"))
    assert (report.rendering.identical, report.rendering.rounded) == (9, 0)
    (finding,) = report.findings
    assert finding.kind == "different"
    assert finding.what.startswith("seed 3 depth (")


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_rounding_is_no_difference(model, tmp_path, monkeypatch, file_format):
    write(model, tmp_path, file_format=file_format)
    run = OnnxRuntimeBackend.run
    for shift, kinds in ((5e-5, 0), (2e-2, 20)):
        with monkeypatch.context() as patch:
            patch.setattr(
                OnnxRuntimeBackend,
                "run",
                lambda *a, shift=shift, **k: {n: np.float32(v + shift) for n, v in run(*a, **k).items()},
            )
            found = verify_folder(tmp_path, render=10, model=model).rendering
        assert len(found.different) == kinds
        assert (found.rounded > 0) == (kinds == 0)


def test_pixels_of_other_classes(all_types_model, tmp_path):
    write(all_types_model, tmp_path, "0", types=["segmentation"], file_format="npy")
    path = tmp_path / "seed000000_segmentation.npy"
    form = get_format("npy")
    classes = form.decode("segmentation", path.read_bytes())
    for count, different in ((2, 0), (30, 1)):
        changed = classes.copy()
        changed.flat[:count] = (changed.flat[:count] + 1) % 3
        forge(tmp_path, path.name, "segmentation", form.encode("segmentation", changed))
        found = verify_folder(tmp_path, render=1, model=all_types_model).rendering
        assert (len(found.different), found.rounded) == (different, 1 - different)


def test_another_model_is_refused_and_an_unknown_one_is_named(model, tmp_path):
    write(model, tmp_path / "out")
    other = write_model(tmp_path / "other.onnx", describe(psi=0.6))
    with pytest.raises(UserError, match=r"`model=.*other.onnx`: not the model of this folder: run.json has the SHA"):
        verify_folder(tmp_path / "out", render=2, model=other)
    with pytest.raises(
        UserError, match=r"the folder's model, SHA-256 .*, is not the bundled one; name it with `model` or `generator`"
    ):
        verify_folder(tmp_path / "out", render=2)
    with pytest.raises(UserError, match="`alpha=2` has no effect without `generator`"):
        verify_folder(tmp_path / "out", render=2, model=model, alpha=2)
    with pytest.raises(UserError, match="`render=-1`: a number of seeds"):
        verify_folder(tmp_path / "out", render=-1)
    report = verify_folder(tmp_path / "out", render=None)
    assert (report.rendering.seeds, report.is_complete) == ((), True)
    assert "is not the bundled one" in report.rendering.skipped
    assert len(verify_folder(tmp_path / "out", render=None, model=model).rendering.seeds) == 4


def test_a_backend_that_cannot_run_here_is_replaced(model, tmp_path):
    write(model, tmp_path)
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace('"backend": "onnxruntime"', '"backend": "tensorrt"'))
    found = verify_folder(tmp_path, render=2, model=model).rendering
    assert (found.another, found.identical + found.rounded) == (True, 2)


def test_latents_are_named_and_compared(model, tmp_path):
    rows = np.random.RandomState(0).randn(5, 8).astype(np.float32)
    np.save(tmp_path / "z.npy", rows)
    np.save(tmp_path / "other.npy", rows + 1)
    run_seeds(latents=tmp_path / "z.npy", latents_kind="z", model=model, outdir=tmp_path / "out", **OPTIONS)
    assert verify_folder(tmp_path / "out", render=5, model=model, latents=tmp_path / "z.npy").rendering.identical == 5
    with pytest.raises(UserError, match="`latents`: not the latents of this folder, or in another order"):
        verify_folder(tmp_path / "out", render=5, model=model, latents=[tmp_path / "other.npy"])
    with pytest.raises(UserError, match="`latents`: the folder has maps of latents; name their files"):
        verify_folder(tmp_path / "out", render=5, model=model)


def test_generators_are_rendered_again(tiny_generator, tmp_path):
    from sgi.engine.generator import save_generator

    save_generator(tmp_path / "tiny.safetensors", tiny_generator)
    options = {"generator": tmp_path / "tiny.safetensors"}
    run_seeds("0-2", outdir=tmp_path / "out", types=["image"], psi=0.5, **OPTIONS, **options)
    assert verify_folder(tmp_path / "out", render=3, **options).rendering.identical == 3


def test_every_finding_says_what_to_do(model, tmp_path):
    write(model, tmp_path, "0-3")
    run_seeds("0-9", model=model, outdir=tmp_path, shard="2/3", **OPTIONS)
    (tmp_path / "seed000002_image.png").write_bytes(b"")
    (tmp_path / "seed000099_depth.png").write_bytes(b"")
    with (tmp_path / "manifest.jsonl").open("a") as manifest:
        manifest.write("hello\n")
    found = {finding.kind: finding for finding in verify_folder(tmp_path).findings}
    assert {kind: finding.what for kind, finding in found.items()} == {
        "unfinished": "6-9", "damaged": "2", "foreign": "seed000099_depth.png", "wrong lines": "1",
    }  # fmt: skip
    assert "--verify" in found["damaged"].remedy


@pytest.mark.parametrize(("file_format", "dtype"), [("webdataset", "codes"), ("npy-stack", "float16")])
def test_shards_are_rendered_again(model, tmp_path, file_format, dtype):
    write(model, tmp_path, "7,0-9", file_format=file_format, dtype=dtype, shard_size=4)
    found = verify_folder(tmp_path, render=10, model=model).rendering
    assert (found.identical, found.different) == (10, ())
    other = write_model(tmp_path / "other.onnx", describe(psi=0.6))
    path = tmp_path / "run.json"
    path.write_text(path.read_text().replace(hashlib.sha256(model.read_bytes()).hexdigest(), "a" * 64))
    with pytest.raises(UserError, match="not the model of this folder"):
        verify_folder(tmp_path, render=1, model=other)


def test_a_lossy_compression_is_no_difference(model, tmp_path):
    pytest.importorskip("OpenEXR")
    write(model, tmp_path, file_format="exr", compression="dwaa", shard_size=4)
    found = verify_folder(tmp_path, render=10, model=model).rendering
    assert (found.identical, found.different) == (10, ())


def test_a_missing_package_of_the_format_is_named_and_no_damage(model, tmp_path, monkeypatch):
    write(model, tmp_path, file_format="parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    report = verify_folder(tmp_path, render=None, model=model)
    assert report.is_complete
    assert report.rendering.skipped.startswith("the format parquet needs the package pyarrow (")
    assert report.rendering.skipped.endswith('pip install "sgi-engine[parquet]"')
    with pytest.raises(UserError, match="needs the package pyarrow"):
        verify_folder(tmp_path, render=2, model=model)
