"""The shard loop: files, continuation, parts, kills and errors."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import kill_points
import numpy as np
import pytest
from counting_backend import Fake
from shard_cases import skip_without_package
from tiny_models import SIDE, Z_DIM, describe

from sgi.engine.api import Engine
from sgi.engine.codes import pixels_of
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.run import pipeline, shard_files, shard_loop, shard_maker, verify_folder
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import latents, parse_seeds
from sgi.engine.shards import SHARD_FORMATS, npy_stack, webdataset

RECORD = RunRecord(
    "a" * 64, ("image", "depth"), 0.7, None, "npy-stack", 6, "fake", "cpu", seeds_per_folder=0, batch=3,
    shard_size=4, dtype="float32", compression="none",
)  # fmt: skip
ALL = pytest.mark.parametrize("file_format", list(SHARD_FORMATS))
BOTH = pytest.mark.parametrize("file_format", ["npy-stack", "webdataset"])
SUFFIX = {"npy-stack": "", "webdataset": ".tar"}


def prepared(outdir, text="0-9", shard=(1, 1), verify=False, **record):
    job = Job(outdir, parse_seeds(text), replace(RECORD, **record), shard, verify)
    pipeline.prepare(job, {})
    return job


def do(outdir, text="0-9", backend=None, shard=(1, 1), verify=False, **record):
    backend, outcome = backend or Fake(), Outcome()
    shard_loop.run(Engine(backend, 3), prepared(outdir, text, shard, verify, **record), outcome)
    assert outcome.unfinished == 0
    return outcome, backend


contents = kill_points.contents


def entries(folder, name="manifest.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_shards_of_the_list_their_lines_and_their_batches(tmp_path):
    outcome, backend = do(tmp_path, "20-22,0-6", file_format="webdataset")
    assert (outcome.written, outcome.found) == (10, 0)
    assert sorted(contents(tmp_path)) == [
        "manifest.jsonl", "run.json", "shard-000000.tar", "shard-000001.tar", "shard-000002.tar",
    ]  # fmt: skip
    assert [(line["shard"], line["seeds"]) for line in entries(tmp_path)] == [(0, "20-22,0"), (1, "1-4"), (2, "5-6")]
    for line in entries(tmp_path):
        path = tmp_path / line["file"]
        assert (line["sha256"], line["bytes"]) == (sha256_file(path), path.stat().st_size)
    # No batch crosses the end of a shard, and each is padded to one size.
    firsts = [20, 0, 1, 4, 5]
    assert [len(z) for z in backend.batches] == [3] * 5
    for batch, seed in zip(backend.batches, firsts, strict=True):
        np.testing.assert_array_equal(batch[0], latents([seed], Z_DIM)[0].astype(np.float32))


def test_a_folder_has_the_hash_of_what_sha256sum_prints(tmp_path):
    do(tmp_path)
    shell = "LC_ALL=C find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    for line in entries(tmp_path):
        printed = subprocess.run(shell, shell=True, cwd=tmp_path / line["file"], capture_output=True, text=True)
        assert printed.stdout.split()[0] == line["sha256"]


def test_values_are_those_of_the_backend(tmp_path):
    do(tmp_path)
    z = latents(range(10), Z_DIM).astype(np.float32)
    depth = np.concatenate([np.load(tmp_path / f"shard-{n:06d}" / "depth.npy") for n in range(3)])
    assert depth.shape == (10, 1, SIDE, SIDE)
    places = [0, 1, 2, 0, 0, 1, 2, 0, 0, 1]  # of each seed in its batch, which `Fake` adds
    np.testing.assert_array_equal(depth[:, 0, 0, 0], z[:, 0] + np.array(places, np.float32))
    assert np.concatenate([np.load(tmp_path / f"shard-{n:06d}" / "seeds.npy") for n in range(3)]).tolist() == [
        *range(10)
    ]


@BOTH
def test_only_missing_and_damaged_shards_are_made_again(tmp_path, file_format):
    options = {"file_format": file_format}
    do(tmp_path, **options)
    before = contents(tmp_path)
    outcome, backend = do(tmp_path, **options)
    assert (outcome.written, outcome.found, backend.batches) == (0, 10, [])
    name = f"shard-000001{SUFFIX[file_format]}"
    shard_files.remove(tmp_path / name)
    outcome, backend = do(tmp_path, **options)
    assert (outcome.written, outcome.found, len(backend.batches)) == (4, 6, 2)
    assert contents(tmp_path) == before

    file = tmp_path / name if file_format == "webdataset" else tmp_path / name / "depth.npy"
    damaged = bytearray(file.read_bytes())
    damaged[700] ^= 1
    file.write_bytes(damaged)
    assert do(tmp_path, **options)[0].found == 10
    report = verify_folder(tmp_path)
    assert (report.finished, str(report.damaged), str(report.unfinished)) == (6, "4-7", "")
    outcome, _ = do(tmp_path, verify=True, **options)
    assert (outcome.written, outcome.found) == (4, 6)
    assert [path.name for path in outcome.set_aside] == [f"{name}.set-aside"]
    assert {path: data for path, data in contents(tmp_path).items() if "set-aside" not in path} == before
    assert verify_folder(tmp_path).is_complete


@ALL
def test_a_folder_grows_by_seeds_after_its_own(tmp_path, file_format):
    skip_without_package(file_format)
    do(tmp_path / "grown", "0-5", file_format=file_format)
    outcome, _ = do(tmp_path / "grown", "0-9", file_format=file_format)
    assert (outcome.found, outcome.written, outcome.set_aside) == (4, 6, [])
    do(tmp_path / "whole", "0-9", file_format=file_format)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    for text in ("0-5", "5-20", "1-9"):
        with pytest.raises(
            UserError, match="its shards are of other `seeds`: 0-9; use the same, or a list that begins"
        ):
            do(tmp_path / "grown", text, file_format=file_format)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")


@BOTH
def test_what_is_no_shard_of_the_run_is_set_aside(tmp_path, file_format):
    name = f"shard-000000{SUFFIX[file_format]}"
    prepared(tmp_path, file_format=file_format)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious").write_text("x")
    for number, foreign in enumerate((lambda path: path.write_text("x"), lambda path: path.symlink_to("other"))):
        foreign(tmp_path / name)
        (tmp_path / "manifest.jsonl").unlink(missing_ok=True)
        outcome, _ = do(tmp_path, file_format=file_format)
        assert [path.name for path in outcome.set_aside] == [f"{name}.set-aside{'-2' if number else ''}"]
        shard_files.remove(tmp_path / name)
    assert (tmp_path / "other" / "precious").exists()
    do(tmp_path, file_format=file_format)
    assert verify_folder(tmp_path).foreign == ()


def test_shards_that_no_line_describes_are_foreign(tmp_path):
    do(tmp_path)
    (tmp_path / "shard-000007").mkdir()
    (tmp_path / "shard-000001.tar").touch()
    assert verify_folder(tmp_path).foreign == ("shard-000001.tar", "shard-000007")


def test_parts_together_write_the_shards_of_one_run(tmp_path):
    for k in (2, 1):
        do(tmp_path / "parts", shard=(k, 2))
    lines = [[line["shard"] for line in entries(tmp_path / "parts", f"manifest-{k}-of-2.jsonl")] for k in (1, 2)]
    assert lines == [[0], [1, 2]]
    report = verify_folder(tmp_path / "parts")
    assert (report.merged, report.finished, report.is_complete) == (2, 10, True)
    do(tmp_path / "whole")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    outcome, backend = do(tmp_path / "parts", shard=(2, 2))
    assert (outcome.found, backend.batches) == (6, [])


def test_verify_names_the_seeds_of_unfinished_shards(tmp_path):
    do(tmp_path, "30-33,0-9", shard=(2, 3))
    report = verify_folder(tmp_path)
    assert (report.finished, str(report.unfinished), report.is_complete) == (4, "4-9,30-33", False)


@ALL
def test_an_interrupted_run_keeps_finished_shards_only(tmp_path, file_format):
    skip_without_package(file_format)
    job, outcome = prepared(tmp_path / "cut", file_format=file_format), Outcome()
    with pytest.raises(KeyboardInterrupt):
        shard_loop.run(Engine(Fake(stop_at=4), 3), job, outcome)
    assert (outcome.written, outcome.unfinished) == (4, 0)
    assert [line["seeds"] for line in entries(tmp_path / "cut")] == ["0-3"]
    assert [path for path in contents(tmp_path / "cut") if ".part-" in path] == []
    do(tmp_path / "cut", file_format=file_format)
    do(tmp_path / "whole", file_format=file_format)
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("file_format", ["npy-stack", "webdataset"])
def test_a_kill_at_any_call_loses_no_finished_shard_and_changes_no_byte(tmp_path, file_format):
    tests = Path(kill_points.__file__)
    done = subprocess.run(
        [sys.executable, str(tests), file_format, str(tmp_path)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.parametrize(("file_format", "module"), [("npy-stack", npy_stack), ("webdataset", webdataset)])
def test_a_full_disk_is_an_error_without_incomplete_shards(tmp_path, monkeypatch, file_format, module):
    write = module._Writer.write
    calls = []

    def limited(self, encoded):
        calls.append(self)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, encoded)

    monkeypatch.setattr(module._Writer, "write", limited)
    with pytest.raises(UserError, match=f"`outdir={tmp_path}`: the disk is full; free space and run the same command"):
        do(tmp_path, file_format=file_format)
    assert [line["seeds"] for line in entries(tmp_path)] == ["0-3"]
    assert len(calls) == 4  # nothing is appended after the batch that failed
    assert [path for path in contents(tmp_path) if ".part-" in path] == []
    monkeypatch.undo()
    do(tmp_path, file_format=file_format)
    do(tmp_path / "whole", file_format=file_format)
    whole = contents(tmp_path / "whole")
    assert {name: data for name, data in contents(tmp_path).items() if not name.startswith("whole")} == whole


def test_a_map_that_is_not_finite_names_the_seed_and_leaves_finished_shards(tmp_path):
    class Damaged(Fake):
        def run(self, *arguments, **options):
            maps = super().run(*arguments, **options)
            if len(self.batches) == 4:
                maps["depth"][0, 0, 3, 3] = np.nan
            return maps

    with pytest.raises(UserError, match="the depth map of seed 7 contains values that are not finite"):
        do(tmp_path, backend=Damaged())
    assert [line["seeds"] for line in entries(tmp_path)] == ["0-3"]


@BOTH
def test_codes_of_a_device_are_stored_as_they_are(tmp_path, file_format):
    class Device(Fake):
        """Computes codes itself."""

        def start_codes(self, z, psi, label=None, types=None):
            maps = self.run(z, psi, label, types)
            return lambda: {name: pixels_of(self.artifact.output(name), maps[name]) for name in types}

        def run(self, *arguments, **options):
            started.append(True)
            return super().run(*arguments, **options)

    started: list[bool] = []
    do(tmp_path / "device", backend=Device(), file_format=file_format, dtype="codes")
    assert started
    do(tmp_path / "host", file_format=file_format, dtype="codes")
    assert contents(tmp_path / "device") == contents(tmp_path / "host")


def test_a_part_without_shards_writes_nothing(tmp_path):
    do(tmp_path, shard=(1, 5))
    outcome, backend = do(tmp_path, shard=(1, 5))
    assert (outcome.found, outcome.written, backend.batches) == (0, 0, [])
    assert [path for path in contents(tmp_path) if path.startswith("shard")] == []
    assert [len(prepared(tmp_path, shard=(k, 5)).part) for k in range(1, 6)] == [0, 4, 0, 4, 2]


def test_a_hostile_line_costs_nothing(tmp_path):
    """A million overlapping ranges in a line would take hours to parse."""
    do(tmp_path)
    line = entries(tmp_path)[0] | {"seeds": "0-3," * 250_000 + "3"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    began = time.process_time()  # without the waiting for the processor
    assert verify_folder(tmp_path).wrong_lines == 1
    assert time.process_time() - began < 2


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    job = prepared(tmp_path)
    with shard_files.ShardManifest(job.manifest, job), pytest.raises(UserError, match="another run is writing there"):
        do(tmp_path)


def test_two_runs_whose_parts_overlap_write_the_same_files(tmp_path):
    """Such parts have manifests of their own, so both run; each leaves the unfinished shards of the other."""
    first = prepared(tmp_path, shard=(1, 1))
    second = prepared(tmp_path, shard=(1, 2))
    threads = [
        threading.Thread(target=shard_loop.run, args=(Engine(Fake(), 3), job, Outcome())) for job in (first, second)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not [path for path in contents(tmp_path) if "set-aside" in path or ".part-" in path]
    assert verify_folder(tmp_path).is_complete


def test_temporary_shards_of_a_killed_run_of_the_part_are_removed(tmp_path):
    own = [".shard-000001.part-0123abcd", ".shard-000002.part-0123abcd.tar", ".manifest-2-of-2.part-0123abcd.jsonl"]
    others = [".shard-000000.part-0123abcd", ".shard-000009.part-0123abcd.tar"]
    for name in own + others:
        (tmp_path / name).mkdir() if "." not in name[1:].replace(".part", "") else (tmp_path / name).write_text("half")
    do(tmp_path, shard=(2, 2))
    assert {path.name for path in tmp_path.iterdir() if ".part-" in path.name} == set(others)


def test_generation_continues_only_until_the_queue_is_full(tmp_path, monkeypatch):
    gate, generated = threading.Event(), []

    class Counted(Fake):
        def run(self, *arguments, **options):
            generated.append(gate.is_set())
            if len(generated) == 5:
                gate.set()
            return super().run(*arguments, **options)

    encode = npy_stack._Writer.encode
    threads = set()

    def gated(self, numbers, maps):
        threads.add(threading.current_thread())
        gate.wait(2)
        return encode(self, numbers, maps)

    monkeypatch.setattr(npy_stack._Writer, "encode", gated)
    monkeypatch.setattr(shard_maker, "available_cores", lambda: 2)
    outcome, _ = do(tmp_path, "0-59", backend=Counted(), shard_size=60)
    assert outcome.written == 60
    assert len(generated) == 20
    assert not any(generated[:4])
    assert threading.main_thread() not in threads


def test_progress_counts_every_seed_once_and_never_falls(tmp_path):
    job, outcome, seen = prepared(tmp_path), Outcome(), []
    shard_loop.run(Engine(Fake(), 3), job, outcome, lambda: seen.append(outcome.written + outcome.unfinished))
    assert seen == [3, 4, 7, 8, 10]


def test_the_preview_is_read_from_the_shards_of_the_part(tmp_path):
    job = prepared(tmp_path, shard=(2, 2), file_format="webdataset")
    shard_loop.run(Engine(Fake(), 3), job, Outcome())
    read = shard_files.read_maps(job, describe(), 1)
    np.testing.assert_allclose(read["depth"][0, 0, 0], latents([5], Z_DIM)[0, 0] + 1, rtol=1e-6)
    assert pipeline.write_preview(job, describe(), shard_files.read_maps).name == "preview-2-of-2.png"
    (tmp_path / "shard-000001.tar").write_bytes(b"x")
    with pytest.raises(UserError, match=r"shard-000001.tar: damaged .*; run again with `verify=True`"):
        shard_files.read_maps(job, describe(), 1)


@pytest.mark.parametrize("wrong", ["seeds", "file", "number", "text"])
def test_lines_of_other_folders_count_for_nothing(tmp_path, wrong):
    do(tmp_path)
    before = contents(tmp_path)
    lines = entries(tmp_path)
    change = {"seeds": {"seeds": "1-4"}, "file": {"file": "../x"}, "number": {"shard": 9}, "text": {"bytes": "4"}}[
        wrong
    ]
    lines[1] |= change
    (tmp_path / "manifest.jsonl").write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    assert verify_folder(tmp_path).wrong_lines == 1
    outcome, _ = do(tmp_path)
    assert (outcome.found, outcome.written) == (6, 4)
    assert [path.name for path in outcome.set_aside] == ["manifest.jsonl.set-aside"]
    assert {name: data for name, data in contents(tmp_path).items() if "set-aside" not in name} == before
