"""`sgi-engine run`: its files, its errors, kill -9, Ctrl-C, and that it does not import torch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import SIDE, Z_DIM, describe, write_model

from sgi.engine import Engine
from sgi.engine.artifact import Artifact
from sgi.engine.backends.onnxruntime import OnnxRuntimeBackend
from sgi.engine.backends.openvino_streams import OpenVinoStreams
from sgi.engine.seeds import latents

CALL = [sys.executable, "-c", "import sys, sgi.cli as cli; sys.exit(cli.main())", "run"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_maps_manifest_preview_and_report(command, model, tmp_path):
    outdir = tmp_path / "out"
    code, out, err = command("run", "--seeds", "0-2, 1, 7", "--model", model, "--outdir", outdir, "--trunc", "0.5")
    assert (code, err) == (0, "1 duplicate seeds dropped\n")
    assert "wrote 4 seeds, 8 maps (image, depth) in" in out
    assert out.splitlines()[-1].startswith("backend   onnxruntime, cpu, fp32")
    for words in (
        f"maps      {outdir}",
        f"manifest  {outdir / 'manifest.jsonl'}",
        f"preview   {outdir / 'preview.png'}",
    ):
        assert words in out
    assert len(contents(outdir)) == 8 + 4
    maps = Engine.open(model)(seeds=[0, 1, 2, 7], psi=0.5)
    for row, seed in enumerate((0, 1, 2, 7)):
        with Image.open(outdir / f"seed{seed:06d}_depth.png") as picture:
            assert picture.size == (SIDE, SIDE)
            np.testing.assert_allclose(np.asarray(picture) / 65535, maps["depth"][row, 0], atol=1e-4)
        with Image.open(outdir / f"seed{seed:06d}_image.png") as picture:
            np.testing.assert_allclose(np.asarray(picture) / 255, np.moveaxis(maps["image"][row], 0, -1), atol=1 / 255)


def test_types_format_shard_and_no_preview(command, model, tmp_path):
    code, out, err = command(
        "run", "--seeds", "0-9", "--model", model, "--outdir", tmp_path, "--type", "depth", "--format", "npy",
        "--shard", "2/2", "--no-preview", "--batch", "2", "--threads", "1", "--backend", "onnxruntime",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "preview" not in out
    names = [f"seed{seed:06d}_depth.npy" for seed in range(5, 10)]
    assert sorted(contents(tmp_path)) == ["manifest-2-of-2.jsonl", "run.json", *names]
    assert np.load(tmp_path / names[0]).shape == (1, SIDE, SIDE)


def test_the_dummy_format_prints_a_rate_and_writes_nothing(command, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = command("run", "--seeds", "0-9", "--model", model, "--format", "dummy")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert re.fullmatch(r"generated 10 seeds, 20 maps \(image, depth\) in \d+\.\d s: \d+\.\d seeds/s; no files", first)
    assert second.startswith("backend   onnxruntime, cpu, fp32")
    assert not list(tmp_path.iterdir())


def test_a_second_run_finds_all_seeds_finished(command, model, tmp_path):
    arguments = ("run", "--seeds", "0-1", "--model", model, "--outdir", tmp_path, "--type", "all")
    assert command(*arguments)[0] == 0
    code, out, _ = command(*arguments)
    assert code == 0
    assert "wrote 0 seeds" in out
    assert "found 2 seeds finished before" in out


def test_class_is_required_for_conditional_models(command, class_model, tmp_path):
    arguments = ("run", "--seeds", "0", "--model", class_model, "--outdir", tmp_path)
    assert command(*arguments)[2].startswith("error: --class: the model needs a class, 0 to 2")
    assert not list(tmp_path.iterdir())
    assert command(*arguments, "--class", "2")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "5-1"], "--seeds 5-1: the range 5-1 is reversed; write 1-5"),
        (["--seeds", ""], "--seeds is empty: give a value, or leave it out"),
        (["--shard", "3/2"], "--shard 3/2: write k/n"),
        (["--type", "albedo"], "--type albedo: the model has image, depth"),
        (["--format", "jpg"], "--format jpg: choose from png, npy, webdataset, parquet, npy-stack, zarr, exr, dummy"),
        (["--trunc", "nan"], "--trunc nan: must be a number"),
        (["--class", "1"], "--class: the model has no classes"),
        (["--backend", "torch"], "--backend torch: choose from auto"),
        (["--device", "tpu"], "--device tpu: choose from auto, cpu, cuda"),
        (["--device", "cuda"], "--device cuda: no NVIDIA GPU with a driver was found"),
        (["--model", "none.onnx"], "none.onnx: no such file"),
    ],
)
def test_errors_are_one_line_and_create_no_folder(command, model, tmp_path, monkeypatch, arguments, message):
    monkeypatch.setattr("sgi.engine.backends.has_nvidia_driver", lambda: False)
    given = {"--seeds": "0", "--model": str(model), "--outdir": str(tmp_path / "out"), arguments[0]: arguments[1]}
    code, out, err = command("run", *[word for pair in given.items() for word in pair])
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_damaged_models_are_one_line(command, model, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:-20])
    write_model(tmp_path / "bare.onnx", describe(), metadata={})
    for name, message in (("cut.onnx", "truncated"), ("bare.onnx", "a model without sgi-engine metadata")):
        code, _, err = command("run", "--seeds", "0", "--model", tmp_path / name, "--outdir", tmp_path / "out")
        assert code == 2
        assert err.startswith(f"error: {tmp_path / name}: {message}")
        assert not (tmp_path / "out").exists()


def test_precision_reaches_the_backend_and_the_record(command, model, tmp_path, monkeypatch):
    used = []

    class Cast(OpenVinoStreams):
        def __init__(self, *arguments, precision=None, **options):
            used.append(precision)
            super().__init__(*arguments, **options)

    monkeypatch.setattr("sgi.engine.backends.openvino_streams.OpenVinoStreams", Cast)
    arguments = ("run", "--seeds", "0-1", "--model", model, "--outdir", tmp_path)
    code, out, err = command(*arguments, "--precision", "bf16")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1].startswith("backend   openvino, cpu, bf16")
    assert used == ["bf16"]
    assert json.loads((tmp_path / "run.json").read_text())["precision"] == "bf16"
    code, _, err = command(*arguments)
    assert code == 2
    assert "its maps have other settings: --precision bf16, not that of the model; use the same" in err


def test_a_folder_with_other_settings_is_refused_and_unchanged(command, model, tmp_path):
    arguments = ("run", "--seeds", "0-1", "--model", model, "--outdir", tmp_path)
    command(*arguments)
    before = contents(tmp_path)
    code, _, err = command(*arguments, "--trunc", "1")
    assert code == 2
    assert err == (
        f"error: --outdir {tmp_path}: its maps have other settings: --trunc 0.7, not 1.0; use the same, or choose "
        "another --outdir\n"
    )
    assert contents(tmp_path) == before


def test_the_help_names_compressions(command):
    _, out, _ = command("run", "--help")
    words = " ".join(re.sub(r"[^\w\s:;,.-]", " ", out).split())
    assert all(name in words for name in ("parquet: zstd, snappy, none;", "blosc-lz4", "dwaa"))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--format", "npy-stack", "--shard-size", 5), "part 1 of 3 has no shards, because the run has only 2"),
        (("--format", "npy", "--shard", "1/11"), "part 1 of 11 has no seeds, because the run has only 10"),
    ],
)
def test_a_part_without_seeds_says_why(command, model, tmp_path, flags, why):
    arguments = ("run", "--seeds", "0-9", "--model", model, "--outdir", tmp_path, "--shard", "1/3", *flags)
    code, out, err = command(*arguments)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith(f": {why}")
    code, out, _ = command(*arguments, "--json")
    assert json.loads(out.splitlines()[-1])["remark"] == why


def test_shards_are_merged_and_problems_are_listed_by_verify(command, model, tmp_path):
    arguments = ("run", "--seeds", "0-9", "--model", model, "--outdir", tmp_path, "--no-preview")
    command(*arguments, "--shard", "1/2")
    verify = ("verify", tmp_path, "--render", 0)
    code, out, err = command(*verify)
    assert code == 2
    assert out.startswith("finished    5 of 10 seeds\nrendered    none\nunfinished  5-9\n            -> run the same ")
    assert err == f"error: {tmp_path}: not complete; run the same `sgi-engine run` command again\n"
    command(*arguments, "--shard", "2/2")
    code, out, err = command(*verify)
    assert (code, err) == (0, "")
    assert out.endswith(f"\nmerged      2 manifests of parts into {tmp_path / 'manifest.jsonl'}\n")
    (tmp_path / "seed000003_depth.png").write_bytes(b"")
    (tmp_path / "seed000077_depth.png").write_bytes(b"")
    code, out, err = command(*verify)
    assert code == 2
    assert err == f"error: {tmp_path}: not complete; run the same `sgi-engine run` command again with --verify\n"
    assert [line for line in out.splitlines() if "->" not in line] == [
        "finished    9 of 10 seeds", "rendered    none", "damaged     3", "foreign     seed000077_depth.png",
    ]  # fmt: skip
    code, _, err = command(*arguments, "--verify")
    assert code == 0
    assert "seed000003_depth.png: not the file of this run, or damaged; kept as seed000003_depth.png.set-aside" in err
    code, _, err = command(*verify)
    assert code == 2
    assert err.endswith(": contains maps that no manifest describes; remove seed000077_depth.png\n")


def test_a_folder_with_maps_and_no_record_is_refused(command, model, tmp_path):
    (tmp_path / "seed000000_depth.png").write_bytes(b"of another program")
    code, _, err = command("run", "--seeds", "0", "--model", model, "--outdir", tmp_path)
    assert code == 2
    assert err == (
        f"error: --outdir {tmp_path}: it contains maps (seed000000_depth.png) and no run.json that describes them; "
        "choose another --outdir\n"
    )
    assert list(contents(tmp_path)) == ["seed000000_depth.png"]


def test_a_map_that_is_not_finite_is_one_line(command, model, tmp_path, monkeypatch):
    run = OnnxRuntimeBackend.run

    def damaged(self, z, *arguments):
        maps = run(self, z, *arguments)
        maps["depth"][np.flatnonzero(z[:, 0] == np.float32(latents([5], Z_DIM)[0, 0]))] = np.nan
        return maps

    monkeypatch.setattr(OnnxRuntimeBackend, "run", damaged)
    code, out, err = command("run", "--seeds", "0-9", "--model", model, "--outdir", tmp_path, "--batch", "4")
    assert (code, out) == (2, "")
    assert err.startswith("error: the depth map of seed 5 contains values that are not finite: ")
    assert err.count("\n") == 1
    maps = {path.name for path in tmp_path.glob("*.png")}
    assert maps == {f"seed{seed:06d}_{name}.png" for seed in range(4) for name in ("image", "depth")}


def test_the_running_path_imports_no_torch(model, tmp_path):
    forbidden = ("torch", "onnx", "sgi.export", "sgi.trainer", "sgi.engine.generator")
    script = (
        "import sys, sgi.cli as cli\n"
        "assert cli.main() == 0\n"
        f"assert cli.main(['inspect', {str(model)!r}]) == 0\n"
        f"print('loaded', *[name for name in {forbidden} if name in sys.modules])"
    )
    for backend in ("onnxruntime", "openvino"):
        pytest.importorskip(backend)
        arguments = ["run", "--seeds", "0-9", "--model", model, "--outdir", tmp_path / backend, "--backend", backend]
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.endswith("loaded\n")


SEEDS = 600
ARGUMENTS = ["--seeds", f"0-{SEEDS - 1}", "--backend", "onnxruntime", "--threads", "1", "--quiet"]


# A run whose writers wait at a number of files until another file exists, so that it cannot end before the signal.
HELD = """
import os, sys, time
import sgi.cli as cli, sgi.engine.run.map_writers as map_writers
go, most, write_maps = sys.argv.pop(1), int(sys.argv.pop(1)), map_writers.write_maps
def held(job, *rest):
    while len(os.listdir(job.outdir)) >= most and not os.path.exists(go):
        time.sleep(0.001)
    return write_maps(job, *rest)
map_writers.write_maps = held
sys.exit(cli.main())
"""


def start(model: Path, outdir: Path, call: list[str] = CALL) -> subprocess.Popen:
    arguments = [*call, *ARGUMENTS, "--model", str(model), "--outdir", str(outdir)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_and_wait(model: Path, outdir: Path, count: int, go: Path) -> subprocess.Popen:
    """A run that has written `count` maps and cannot finish before the file `go` exists."""
    process = start(model, outdir, [sys.executable, "-c", HELD, str(go), str(count + 100), "run"])
    while process.poll() is None:
        if sum(name.startswith("seed") for name in os.listdir(outdir)) >= count:
            return process
        time.sleep(0.001)
    assert process.stderr
    raise AssertionError(f"the run ended before {count} maps: {process.stderr.read()}")


def state(outdir: Path) -> dict[str, tuple[int, int]]:
    """Every finished map and when it was written."""
    maps = [path for path in outdir.iterdir() if path.name.startswith("seed")]
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in maps}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, model):
    """The files of an uninterrupted run."""
    outdir = tmp_path_factory.mktemp("whole")
    process = start(model, outdir)
    _, err = process.communicate()
    assert process.returncode == 0, err
    return contents(outdir)


def test_runs_continued_after_kill_9_write_the_files_of_an_uninterrupted_run(model, tmp_path, whole):
    seen: dict[str, tuple[int, int]] = {}
    for count in (1, 350, 1000):
        process = start_and_wait(model, tmp_path, count, tmp_path / "never")
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        after = state(tmp_path)
        assert len(after) < 2 * SEEDS
        assert {name: after[name] for name in seen} == seen
        for name in after:
            assert (tmp_path / name).read_bytes() == whole[name]
        seen = after
    process = start(model, tmp_path)
    out, err = process.communicate()
    assert process.returncode == 0, err
    after = state(tmp_path)
    assert {name: after[name] for name in seen} == seen
    assert contents(tmp_path) == whole
    assert "seeds finished before" in out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_sigterm_are_one_line_and_the_same_command_continues(
    model, tmp_path, tmp_path_factory, whole, number, code
):
    go = tmp_path_factory.mktemp("signal") / "go"
    process = start_and_wait(model, tmp_path, 200, go)
    process.send_signal(number)
    go.touch()
    out, err = process.communicate()
    assert process.returncode == code
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("interrupted: ")
    assert err.endswith(f" of {SEEDS} seeds are finished; the same command continues\n")
    finished = int(err.split()[1])
    recorded = [json.loads(line)["seed"] for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert finished == len(recorded) == len(state(tmp_path)) // 2
    assert start(model, tmp_path).wait() == 0
    assert contents(tmp_path) == whole


def test_a_full_disk(model, tmp_path):
    """Runs on a file system of one megabyte; skipped without the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        process = start(model, disk / "out")
        _, err = process.communicate()
        assert process.returncode == 2
        assert err == (
            f"error: --outdir {disk / 'out'}: the disk is full; free space and run the same command again to continue\n"
        )
        names = os.listdir(disk / "out")
        assert len(names) > 100
        assert not [name for name in names if ".part-" in name]
        for name in names:
            if name.endswith(".png"):
                with Image.open(disk / "out" / name) as picture:
                    picture.load()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_the_bundled_model_is_the_default(command, tmp_path):
    from sgi.engine import bundle

    if not bundle.MODEL.exists():
        pytest.skip("the bundled model has not been built")
    code, out, _ = command("run", "--seeds", "0", "--outdir", tmp_path)
    assert code == 0
    types = Artifact.read(bundle.MODEL).type_names
    assert {f"seed000000_{name}.png" for name in types} < set(contents(tmp_path))
    assert str(tmp_path) in out


def test_seeds_come_from_a_file(command, model, tmp_path):
    (tmp_path / "seeds.txt").write_text("# chosen by hand\n3\n\n10-11, 5  # a room\n3\n")
    arguments = ("--seeds-file", tmp_path / "seeds.txt", "--model", model, "--outdir", tmp_path / "out")
    code, out, err = command("run", *arguments, "--type", "depth", "--no-preview")
    assert (code, err) == (0, "1 duplicate seeds dropped\n")
    assert "wrote 4 seeds" in out
    written = {int(path.name[len("seed") :].split("_")[0]) for path in (tmp_path / "out").glob("*_depth*")}
    assert written == {3, 5, 10, 11}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "seeds.txt: No such file or directory"),
        ("# none\n", "seeds.txt: it has no seeds"),
        ("1\ntwo\n", "seeds.txt, line 2: 'two' is neither a seed nor a range; write"),
        ("1\n9-3", "seeds.txt, line 2: the range 9-3 is reversed; write 3-9"),
        (b"\xff\xfe\x00", "seeds.txt: not a text file"),
    ],
)
def test_a_wrong_file_of_seeds_is_one_line(command, model, tmp_path, text, message):
    if text is not None:
        (tmp_path / "seeds.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    code, out, err = command("run", "--seeds-file", tmp_path / "seeds.txt", "--model", model)
    assert (code, out) == (2, "")
    assert err.startswith("error: --seeds-file ")
    assert (err.count("\n"), err.count("--seeds")) == (1, 1)
    assert message in err


def test_several_classes_are_runs_of_their_own(command, class_model, tmp_path):
    arguments = ("--seeds", "0-2", "--model", class_model, "--outdir", tmp_path)
    code, out, err = command("run", *arguments, "--class", "0,2")
    assert (code, err) == (0, "")
    assert out.count("wrote 3 seeds") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class0", "class2"]
    assert json.loads((tmp_path / "class2" / "run.json").read_text())["class_index"] == 2
    code, out, err = command("run", *arguments, "--class", "0-2")
    assert (code, out.count("found 3 seeds finished before")) == (0, 2)


@pytest.mark.parametrize(
    ("classes", "message"),
    [("0,3", "--class 3: choose 0 to 2"), ("9", "--class 9: choose 0 to 2"), ("cat", "--class cat: write classes and")],
)
def test_wrong_classes_write_nothing(command, class_model, tmp_path, classes, message):
    outdir = tmp_path / "out"
    code, _, err = command("run", "--seeds", "0", "--model", class_model, "--outdir", outdir, "--class", classes)
    assert (code, outdir.exists()) == (2, False)
    assert message in err


def test_noise_and_types_that_the_model_lacks_are_answered_with_commands(command, model, tmp_path):
    arguments = ("--seeds", "0", "--model", model, "--outdir", tmp_path)
    code, _, err = command("run", *arguments, "--noise-mode", "random")
    assert code == 2
    assert "`sgi-engine export --noise-mode random --noise-seed 0`" in err
    code, _, err = command("run", *arguments, "--type", "edges")
    assert code == 2
    assert "`sgi-engine train --type edges`" in err
    assert "`sgi-engine export --type edges --offset edges.safetensors`" in err
    assert err.count("\n") == 1
    _, _, err = command("run", *arguments, "--type", "dpeth")
    assert err == "error: --type dpeth: the model has image, depth\n"


@pytest.mark.parametrize(
    ("redirection", "seeds", "code"), [(">&-", "0", 0), ("2>&-", "x", 2), ("<&- >&- 2>&-", "0", 0)]
)
def test_closed_streams(model, tmp_path, redirection, seeds, code):
    words = [*CALL, "--seeds", seeds, "--type", "depth", "--model", str(model), "--outdir", str(tmp_path / "out")]
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *words], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, "")
    assert (tmp_path / "out" / "seed000000_depth.png").exists() == (code == 0)
