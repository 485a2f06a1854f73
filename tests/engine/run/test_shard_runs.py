"""`run_seeds` with formats of shards: values, latents, mixing, classes, records and refusals."""

from __future__ import annotations

import json
import tarfile

import numpy as np
import pytest
from recorded_progress import RecordedProgress
from tiny_models import SIDE, Z_DIM
from tolerances import BACKEND_PARITY

from sgi.engine import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.codes import pixels_of
from sgi.engine.errors import UserError
from sgi.engine.inspect_file import inspect_file
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.run import run_classes, run_seeds, verify_folder
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import ShardSettings, check_settings
from sgi.engine.writers import get_format
from sgi.engine.writers.png_format import Png
from sgi.export.onnx import export_onnx

OPTIONS = {"backend": "onnxruntime", "device": "cpu", "threads": 1, "preview": False, "shard_size": 4}


def run(outdir, model, seeds="0-9", **options):
    return run_seeds(seeds, model=model, outdir=outdir, **{**OPTIONS, **options})


def stacked(folder, name):
    return np.concatenate([np.load(shard / f"{name}.npy") for shard in sorted(folder.glob("shard-*"))])


def samples(folder):
    """Members of all shards, {name: bytes}."""
    found: dict[str, bytes] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                file = archive.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


def test_values_and_codes_are_those_of_the_engine(all_types_model, tmp_path):
    maps = Engine.open(all_types_model, backend="onnxruntime")(seeds="0-9")
    kinds = {kind.name: kind for kind in Artifact.read(all_types_model).types}
    progress = RecordedProgress()
    report = run(tmp_path / "values", all_types_model, file_format="npy-stack", preview=True, progress=progress)
    assert (report.written, report.found) == (10, 0)
    assert report.preview == tmp_path / "values" / "preview.png"
    assert progress.done == progress.totals == {"seeds": 10}
    run(tmp_path / "codes", all_types_model, file_format="webdataset")
    run(tmp_path / "pictures", all_types_model, file_format="png", shard_size=None)
    found = samples(tmp_path / "codes")
    for name, kind in kinds.items():
        values = stacked(tmp_path / "values", name)
        np.testing.assert_allclose(values, maps[name], atol=BACKEND_PARITY * max(kind.high - kind.low, 1))
        for seed in range(10):
            picture = (tmp_path / "pictures" / f"seed{seed:06d}_{name}.png").read_bytes()
            assert found[f"{seed:06d}.{name}.png"] == picture
    assert verify_folder(tmp_path / "codes").is_complete
    png = get_format("png")
    depth = png.decode(kinds["depth"], found["000003.depth.png"])
    np.testing.assert_array_equal(pixels_of(kinds["depth"], depth), pixels_of(kinds["depth"], maps["depth"][3]))


def test_the_record_and_what_inspect_says(model, tmp_path):
    run(tmp_path, model, "5-8,0", file_format="npy-stack", dtype="float16", digits=8)
    record = json.loads((tmp_path / "run.json").read_text())
    assert [record[name] for name in ("shard_size", "dtype", "compression", "seeds_per_folder")] == [
        4, "float16", "none", 0,
    ]  # fmt: skip
    assert record["seeds"] == "5-8,0"  # in the order of the shards
    assert record["names"].startswith("shard-N, N with 6 digits: seeds number N * 4 and the following of the list")
    assert record["maps"][1]["encoding"] == "float16 [channels, row, column] in C order: the values"
    assert inspect_file(tmp_path).facts["finished shards"] == {"manifest.jsonl": 2}
    assert inspect_file(tmp_path / "manifest.jsonl").facts == {"shards": 2, "first shard": 0, "last shard": 1}
    with pytest.raises(UserError, match=f"a shard of a run; inspect its folder, {tmp_path}$"):
        inspect_file(tmp_path / "shard-000000")
    # Without options, the folder's.
    report = run(tmp_path, model, "5-8,0-2", file_format="npy-stack", shard_size=None)
    assert (report.found, report.written) == (4, 3)
    assert stacked(tmp_path, "depth").dtype == np.float16


def test_mixed_seeds_classes_and_latents(tiny_generator, class_model, tmp_path):
    exported = tmp_path / "tiny.onnx"
    export_onnx(tiny_generator, {"image": None}, exported, psi=0.7)
    run(tmp_path / "mixed", exported, "0-5", file_format="webdataset", mix_seed=100, mix_rows="3-5")
    about = json.loads(samples(tmp_path / "mixed")["000005.json"])
    assert [about[name] for name in ("seed", "psi", "mix_seed", "mix_rows")] == [5, 0.7, 100, "3-5"]
    run(tmp_path / "files", exported, "0-5", file_format="npy", mix_seed=100, mix_rows="3-5", shard_size=None)
    kind = Artifact.read(exported).output("image")
    value = np.load(tmp_path / "files" / "seed000005_image.npy")
    picture = samples(tmp_path / "mixed")["000005.image.png"]
    np.testing.assert_array_equal(Png().decode_codes(kind, picture), pixels_of(kind, value))

    np.save(tmp_path / "z.npy", np.random.default_rng(1).normal(size=(6, Z_DIM)).astype(np.float32))
    run(tmp_path / "latents", exported, None, latents=tmp_path / "z.npy", file_format="npy-stack")
    run(tmp_path / "single", exported, None, latents=tmp_path / "z.npy", file_format="npy", shard_size=None)
    assert np.load(tmp_path / "latents" / "shard-000001" / "latents.npy").tolist() == [4, 5]
    one = np.load(tmp_path / "single" / "latent0005_image.npy")
    np.testing.assert_allclose(stacked(tmp_path / "latents", "image")[5], one, atol=BACKEND_PARITY)
    lines = [json.loads(line) for line in (tmp_path / "latents" / "manifest.jsonl").read_text().splitlines()]
    assert [line["latents"] for line in lines] == ["0-3", "4-5"]

    options = {"model": class_model, "outdir": tmp_path / "classes", "file_format": "webdataset", **OPTIONS}
    run_classes("0-4", "0,2", **options)
    about = json.loads(samples(tmp_path / "classes" / "class2")["000004.json"])
    assert (about["class_index"], verify_folder(tmp_path / "classes" / "class2").is_complete) == (2, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file_format": "png"}, "`shard_size=4` has no effect with `file_format=png`; it is for webdataset, "),
        ({"file_format": "npy", "shard_size": None, "dtype": "float16"}, "`dtype=float16` has no effect with `file_fo"),
        ({"file_format": "png", "shard_size": None, "compression": "zstd"}, "`compression=zstd` has no effect with"),
        ({"file_format": "webdataset", "shard_size": 0}, "`shard_size=0`: choose 1 to 100000"),
        ({"file_format": "webdataset", "shard_size": 100001}, "`shard_size=100001`: choose 1 to 100000"),
        ({"file_format": "webdataset", "shard_size": 4.5}, "`shard_size=4.5`: must be an integer"),
        ({"file_format": "webdataset", "dtype": "int8"}, "`dtype=int8`: format webdataset has codes, float16, float32"),
        ({"file_format": "npy-stack", "compression": "zip"}, "`compression=zip`: format npy-stack has none"),
        ({"file_format": "npy-stack", "dtype": 4}, "`dtype=4`: must be a string"),
        ({"file_format": "webdataset", "seeds_per_folder": 5}, "`seeds_per_folder=5` has no effect with `file_format"),
        ({"file_format": "tar"}, "`file_format=tar`: choose from png, npy, webdataset, "),
    ],
)  # fmt: skip
def test_refusals_before_anything_is_written(model, tmp_path, options, message):
    with pytest.raises(UserError, match=f"^{message}".replace("(", r"\(")):
        run(tmp_path / "out", model, **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"file_format": "npy-stack"}, "`file_format=webdataset`, not npy-stack; use"),
        ({"file_format": "png", "shard_size": None}, "`file_format=webdataset`, not png; use"),
        ({"shard_size": 5}, "`shard_size=4`, not 5; use"),
        ({"dtype": "float16"}, "`dtype=codes`, not float16; use"),
    ],
)
def test_a_folder_with_other_settings_is_refused(model, tmp_path, options, words):
    run(tmp_path, model, file_format="webdataset")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=f"its maps have other settings: {words}"):
        run(tmp_path, model, **{"file_format": "webdataset", **options})
    (tmp_path / "run.json").unlink()
    with pytest.raises(UserError, match=r"it contains maps \(shard-00000\d.tar\) and no run.json"):
        run(tmp_path, model, **{"file_format": "webdataset", **options})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: data for name, data in before.items() if name != "run.json"
    }


def test_values_that_float16_cannot_hold_are_refused():
    large = Intrinsic("energy", 1, 0.0, 1e6, "identity", "joule")
    for name in ("webdataset", "npy-stack"):
        with pytest.raises(UserError, match=r"`dtype=float16`: values of energy are up to 1e\+06; choose float32"):
            check_settings(SHARD_FORMATS[name], [large], ShardSettings("float16", "none", "seed", SIDE))


def test_the_command_has_the_options_and_names_them(command, model, tmp_path):
    call = ("run", "--seeds", "0-5", "--model", model, "--outdir", tmp_path, "--no-preview", "--threads", 1)
    code, out, err = command(*call, "--format", "webdataset", "--shard-size", 4, "--dtype", "float32")
    assert (code, err) == (0, "")
    assert "wrote 6 seeds, 12 maps (image, depth)" in out
    code, out, err = command("verify", tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("finished    6 of 6 seeds\n")
    code, _, err = command(*call, "--format", "webdataset", "--shard-size", 0)
    assert (code, err) == (2, "error: --shard-size 0: choose 1 to 100000\n")
    code, _, err = command(*call, "--dtype", "float16")
    assert code == 2
    assert err.startswith("error: --dtype float16 has no effect with --format png; it is for webdataset")
