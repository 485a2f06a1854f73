"""The run loop: written and existing files, continuation, and errors."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from counting_backend import Fake
from PIL import Image
from tiny_models import SIDE, Z_DIM, describe

from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.run import map_writers, pipeline
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import Manifest
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import latents, parse_seeds
from sgi.engine.writers.colour_map import viridis

RECORD = RunRecord("a" * 64, ("image", "depth"), 0.7, None, "npy", 6, "fake", "cpu")


class FakeGpuBackend(Fake):
    """The same with overlapping batches; `events` lists starts and reads in order."""

    def __init__(self, stop_at: int | None = None):
        super().__init__(stop_at)
        self.events: list[str] = []

    def start(self, z, psi, label=None, types=None):
        number = len(self.events) - self.events.count("read")
        self.events.append(f"started {number}")
        maps = self.run(z, psi, label, types)

        def give():
            self.events.append("read")
            return maps

        return give


def prepared(outdir, text="0-9", shard=(1, 1), verify=False, **record):
    job = Job(outdir, parse_seeds(text), replace(RECORD, **record), shard, verify)
    pipeline.prepare(job, {})
    return job


def do(outdir, text="0-9", backend=None, batch=4, shard=(1, 1), verify=False, **record):
    backend = backend or Fake()
    job = prepared(outdir, text, shard, verify, **record)
    outcome = Outcome()
    pipeline.run(Engine(backend, batch), job, outcome)
    return outcome, backend


def test_a_batch_is_started_before_the_maps_of_the_previous_are_read(tmp_path):
    _, backend = do(tmp_path / "gpu", backend=FakeGpuBackend())
    assert backend.events == ["started 0", "started 1", "read", "started 2", "read", "read"]
    do(tmp_path / "cpu")
    assert contents(tmp_path / "gpu") == contents(tmp_path / "cpu")


def test_a_run_on_a_gpu_continues_after_an_interruption(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        do(tmp_path / "gpu", backend=FakeGpuBackend(stop_at=3))
    assert len(list((tmp_path / "gpu").glob("*_depth.npy"))) == 4  # the batch that was started ahead was not read
    outcome, _ = do(tmp_path / "gpu", backend=FakeGpuBackend())
    assert (outcome.found, outcome.written) == (4, 6)
    do(tmp_path / "cpu")
    assert contents(tmp_path / "gpu") == contents(tmp_path / "cpu")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def entries(folder, name="manifest.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_files_names_and_manifest(tmp_path):
    outcome, _ = do(tmp_path, "3, 0-1, 12345", types=("depth",), seeds_per_folder=0)
    assert (outcome.written, outcome.found) == (4, 0)
    assert outcome.seconds > 0
    names = [f"seed{seed:06d}_depth.npy" for seed in (0, 1, 3, 12345)]
    assert sorted(contents(tmp_path)) == ["manifest.jsonl", "metadata.jsonl", "run.json", *names]
    assert [entry["seed"] for entry in entries(tmp_path)] == [0, 1, 3, 12345]
    for entry, name in zip(entries(tmp_path), names, strict=True):
        assert entry["files"] == {"depth": name}
        assert entry["sha256"] == {"depth": sha256_file(tmp_path / name)}
        assert entry["bytes"] == {"depth": (tmp_path / name).stat().st_size}


def test_each_seed_has_its_own_latent_and_the_last_batch_is_padded(tmp_path):
    _, backend = do(tmp_path, "5,0-9", batch=4)
    assert [len(z) for z in backend.batches] == [4, 4, 4]
    order = [5, 0, 1, 2, 3, 4, 6, 7, 8, 9]
    for place, seed in enumerate(order):
        z = latents([seed], Z_DIM).astype(np.float32)
        np.testing.assert_array_equal(backend.batches[place // 4][place % 4], z[0])
        depth = np.load(tmp_path / f"seed{seed:06d}_depth.npy")
        np.testing.assert_array_equal(depth[0, 0, 0], z[0, 0] + np.float32(place % 4))


def test_fewer_seeds_than_a_batch_are_padded_to_it(tmp_path):
    _, backend = do(tmp_path, "0-2", batch=8)
    assert [len(z) for z in backend.batches] == [8]


def test_finished_seeds_are_kept_and_missing_ones_are_written_again(tmp_path):
    do(tmp_path)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before}
    lost = ["seed000005_depth.npy", "seed000006_depth.npy", "seed000006_image.npy"]
    for name in lost:
        (tmp_path / name).unlink()
    outcome, backend = do(tmp_path)
    assert (outcome.written, outcome.found) == (2, 8)
    assert len(backend.batches) == 1
    assert contents(tmp_path) == before
    same = [name for name in before if (tmp_path / name).stat().st_mtime_ns == times[name]]
    assert set(before) - set(same) == {*lost, "manifest.jsonl", "metadata.jsonl"}


def test_a_finished_job_generates_nothing(tmp_path):
    do(tmp_path)
    before = contents(tmp_path)
    outcome, backend = do(tmp_path)
    assert (outcome.written, outcome.found, backend.batches) == (0, 10, [])
    assert contents(tmp_path) == before


@pytest.mark.parametrize("keep", [0, 1, 57, -1, -2])
def test_seeds_without_a_line_are_generated_again_and_their_files_kept(tmp_path, keep):
    """A kill between the renames of files and the line of the seed leaves such files."""
    do(tmp_path)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in before if name.startswith("seed")}
    (tmp_path / "manifest.jsonl").write_bytes(before["manifest.jsonl"][:keep])
    outcome, backend = do(tmp_path)
    assert backend.batches
    assert outcome.set_aside == []
    assert contents(tmp_path) == before
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times


def test_a_foreign_file_without_a_line_is_set_aside(tmp_path):
    do(tmp_path / "whole")
    prepared(tmp_path / "out")
    foreign = np.load(tmp_path / "whole" / "seed000004_depth.npy")
    for _ in range(2):
        np.save(tmp_path / "out" / "seed000003_depth.npy", foreign)  # has the size of a map of seed 3
        outcome, _ = do(tmp_path / "out", "0-9")
        (tmp_path / "out" / "manifest.jsonl").unlink()
    do(tmp_path / "out")
    found = contents(tmp_path / "out")
    aside = [found.pop(f"seed000003_depth.npy.set-aside{number}") for number in ("", "-2")]
    assert [path.name for path in outcome.set_aside] == ["seed000003_depth.npy.set-aside-2"]
    assert set(aside) == {(tmp_path / "whole" / "seed000004_depth.npy").read_bytes()}
    assert found == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", ["truncated", "empty", "folder"])
def test_a_file_with_another_size_than_its_line_is_set_aside_and_written_again(tmp_path, change):
    do(tmp_path)
    before = contents(tmp_path)
    path = tmp_path / "seed000005_depth.npy"
    path.unlink()
    if change == "folder":
        path.mkdir()
    else:
        path.write_bytes(before[path.name][: 20 if change == "truncated" else 0])
    outcome, _ = do(tmp_path)
    assert (outcome.written, outcome.found) == (1, 9)
    assert [aside.name for aside in outcome.set_aside] == ["seed000005_depth.npy.set-aside"]
    assert {name: data for name, data in contents(tmp_path).items() if not name.endswith("aside")} == before


def test_a_changed_file_of_the_same_size_is_found_by_verify(tmp_path):
    do(tmp_path)
    before = contents(tmp_path)
    path = tmp_path / "seed000005_depth.npy"
    path.write_bytes(before["seed000006_depth.npy"])
    assert do(tmp_path)[0].found == 10
    outcome, _ = do(tmp_path, verify=True)
    assert (outcome.written, outcome.found) == (1, 9)
    assert path.read_bytes() == before[path.name]
    assert (tmp_path / "seed000005_depth.npy.set-aside").read_bytes() == before["seed000006_depth.npy"]


def test_seeds_from_one_thousand_on_are_in_subfolders(tmp_path):
    do(tmp_path, "998-1001,2000")
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*_depth.npy")}
    assert found == {
        "seed000998_depth.npy", "seed000999_depth.npy", "00001/seed001000_depth.npy", "00001/seed001001_depth.npy",
        "00002/seed002000_depth.npy",
    }  # fmt: skip
    assert entries(tmp_path)[-1]["files"]["depth"] == "00002/seed002000_depth.npy"
    (tmp_path / "00001" / ".seed001001_depth.part-0123abcd.npy").write_text("half")
    outcome, backend = do(tmp_path, "998-1001,2000")
    assert (outcome.found, backend.batches) == (5, [])
    assert len(list((tmp_path / "00001").iterdir())) == 4


def test_a_map_that_is_not_finite_names_type_and_seed(tmp_path):
    class Damaged(Fake):
        def run(self, *arguments, **options):
            maps = super().run(*arguments, **options)
            if len(self.batches) == 2:
                maps["depth"][2, 0, 3, 3] = np.nan
            return maps

    class DamagedGpu(FakeGpuBackend, Damaged):
        pass

    for backend in (Damaged(), DamagedGpu()):
        outdir = tmp_path / type(backend).__name__
        with pytest.raises(UserError, match="the depth map of seed 6 contains values that are not finite"):
            do(outdir, backend=backend)
        assert [entry["seed"] for entry in entries(outdir)] == [0, 1, 2, 3]
        assert {path.name[:10] for path in outdir.glob("seed*")} == {f"seed{seed:06d}" for seed in range(4)}
        do(outdir)
        do(tmp_path / "whole")
        assert contents(outdir) == contents(tmp_path / "whole")


def test_a_folder_can_be_extended_by_more_seeds(tmp_path):
    do(tmp_path / "grown", "0-4")
    do(tmp_path / "grown", "0-9")
    do(tmp_path / "whole", "0-9", batch=5)
    assert [entry["seed"] for entry in entries(tmp_path / "grown")] == list(range(10))
    assert set(contents(tmp_path / "grown")) == set(contents(tmp_path / "whole"))


def test_shards_together_write_the_files_of_one_run(tmp_path):
    """The depth of `Fake` depends on the position in the batch."""
    for k in (3, 1, 2):
        do(tmp_path / "shards", "0-9", shard=(k, 3))
    seeds = [[entry["seed"] for entry in entries(tmp_path / "shards", f"manifest-{k}-of-3.jsonl")] for k in (1, 2, 3)]
    assert seeds == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]
    outcome, backend = do(tmp_path / "shards", "0-9")
    assert (outcome.found, backend.batches) == (10, [])
    do(tmp_path / "whole", "0-9")
    found = contents(tmp_path / "shards")
    assert {name: data for name, data in found.items() if "-of-" not in name} == contents(tmp_path / "whole")


def test_an_interrupted_run_keeps_its_maps_and_can_be_continued(tmp_path):
    outcome = Outcome()
    job = prepared(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(Engine(Fake(stop_at=3), 4), job, outcome)
    assert outcome.written == 8
    assert [entry["seed"] for entry in entries(tmp_path / "cut")] == list(range(8))
    assert not [name for name in contents(tmp_path / "cut") if ".part-" in name]
    do(tmp_path / "cut")
    do(tmp_path / "whole")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_an_error_without_incomplete_files(tmp_path, monkeypatch, code):
    write = os.write
    written = []

    def limited(descriptor, data):
        written.append(descriptor)
        if len(written) > 7:
            write(descriptor, data[:10])
            raise OSError(code, os.strerror(code))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", limited)
    with pytest.raises(UserError, match=f"`outdir={tmp_path}`: the disk is full; free space and run the same command"):
        do(tmp_path)
    files = set(contents(tmp_path)) - {"run.json", "manifest.jsonl", "metadata.jsonl"}
    assert len(files) == 7
    assert not [name for name in files if ".part-" in name]
    monkeypatch.undo()
    do(tmp_path)
    do(tmp_path / "whole")
    assert contents(tmp_path) == contents(tmp_path / "whole")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    for outdir in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match=r"`outdir=.*file.*`: cannot write there \(.*\); choose another `outdir`"):
            do(outdir)

    def refuse(*_args, **_options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("sgi.engine.run.run_file.atomic_write", refuse)
    with pytest.raises(UserError, match=r"cannot write there \(Permission denied\)"):
        do(tmp_path / "mine")


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    do(tmp_path, "0-1")
    with Manifest(tmp_path / "manifest.jsonl"), pytest.raises(UserError, match="another run is writing there"):
        do(tmp_path, "0-1")


def test_temporary_files_of_a_killed_run_of_the_shard_are_removed(tmp_path):
    own = [".seed000003_depth.part-0123abcd.npy", ".manifest.part-0123abcd.jsonl", ".preview.part-0123abcd.png"]
    own += [".run.part-0123abcd.json", ".sgi.part-0123abcd"]
    others = [".seed000099_depth.part-0123abcd.npy", ".manifest-1-of-2.part-0123abcd.jsonl", "seed000003_x.part-1.npy"]
    for name in own + others:
        (tmp_path / name).write_text("half")
    do(tmp_path)
    assert {name for name in contents(tmp_path) if "part-" in name} == set(others)


def test_encoding_overlaps_generation_with_a_limited_queue(tmp_path, monkeypatch):
    """While no map can be written, generation continues only until the queue is full."""
    gate = threading.Event()
    write_maps = map_writers.write_maps
    threads = set()

    def gated(*arguments):
        threads.add(threading.current_thread())
        assert gate.wait(30)
        return write_maps(*arguments)

    class Opening(Fake):
        def run(self, *arguments, **options):
            if len(self.batches) == 1:
                gate.set()  # reached only if a second batch is generated before the first is written
            return super().run(*arguments, **options)

    monkeypatch.setattr(map_writers, "write_maps", gated)
    monkeypatch.setattr(map_writers, "available_cores", lambda: 2)
    outcome, _ = do(tmp_path, "0-9", backend=Opening(), batch=4)
    assert outcome.written == 10
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_maps_are_encoded_in_pieces_of_a_limited_size(tmp_path, monkeypatch, file_format):
    """One call for each type of a piece, and the same files for any size of the pieces, also around finished seeds."""
    sizes = []
    encode = map_writers.encode_maps

    def counted(job, artifact, maps, as_codes):
        sizes.append(len(maps["depth"]))
        return encode(job, artifact, maps, as_codes)

    monkeypatch.setattr(map_writers, "encode_maps", counted)
    a_seed = 4 * SIDE * SIDE * 4  # bytes of image and depth
    for limit, expected in ((1, [1] * 10), (2 * a_seed, [2] * 5), (3 * a_seed, [3, 1, 3, 1, 2]), (1 << 30, [4, 4, 2])):
        monkeypatch.setattr(map_writers, "_PIECE_BYTES", limit)
        do(tmp_path / str(limit), file_format=file_format)
        assert sorted(sizes) == sorted(expected)
        sizes.clear()
    whole = contents(tmp_path / "1")
    for limit in (2 * a_seed, 3 * a_seed, 1 << 30):
        assert contents(tmp_path / str(limit)) == whole
    for seed in (1, 6):
        (tmp_path / "1" / f"seed{seed:06d}_depth.{file_format}").unlink()
    (tmp_path / "1" / f"seed000004_depth.{file_format}").unlink()
    do(tmp_path / "1", file_format=file_format)  # seed 1 alone, and 4 and 6, between which 5 is finished
    assert sorted(sizes) == [1, 2]
    assert contents(tmp_path / "1") == whole


def test_progress_counts_every_seed_once(tmp_path):
    do(tmp_path, "0-3")
    seen = []
    outcome = Outcome()
    job = prepared(tmp_path)
    pipeline.run(Engine(Fake(), 4), job, outcome, lambda: seen.append((outcome.found, outcome.written)))
    assert seen[-1] == (4, 6)
    assert [written for _, written in seen] == [0, *range(1, 7)]


@pytest.mark.parametrize("file_format", ["png", "npy"])
def test_preview_shows_the_first_eight_seeds_and_all_types(tmp_path, file_format):
    job = prepared(tmp_path, file_format=file_format)
    pipeline.run(Engine(Fake(), 4), job, Outcome())
    path = pipeline.write_preview(job, describe())
    assert path == tmp_path / "preview.png"
    with Image.open(path) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    cell, gap = 192, 8
    assert pixels.shape[0] == pytest.approx(8 * (cell + gap), abs=60)
    assert pixels.shape[1] == pytest.approx(2 * (cell + gap), abs=100)
    # The depth of every seed is constant. The colours span the depths of the sheet, and the least is yellow.
    depth = np.clip(latents(range(8), Z_DIM)[:, 0] + 3, 0, 1)
    share = (depth.max() - depth[7]) / max(np.ptp(depth), 1e-6)
    corner = pixels[-gap - cell : -gap, -gap - cell : -gap]
    assert np.ptp(corner, axis=(0, 1)).max() == 0
    np.testing.assert_allclose(corner[0, 0], viridis(np.full((1, 1, 1), share))[:, 0, 0] * 255, atol=2)


def test_the_preview_of_a_shard_has_the_shard_in_its_name(tmp_path):
    do(tmp_path, "0-9", shard=(2, 2))
    job = prepared(tmp_path, shard=(2, 2))
    assert pipeline.write_preview(job, describe()).name == "preview-2-of-2.png"
