"""Run folders as the viewer indexes them: every format, latents, classes, parts, and runs that go on meanwhile."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

import msgspec
import numpy as np
import pytest
from shard_cases import skip_without_package
from tiny_models import SIDE, Z_DIM

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.run import run_classes, run_seeds
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import LINES, Manifest
from sgi.engine.run.reading import read_maps
from sgi.engine.run.run_file import read_run
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.view.run_folder import RunFolder
from sgi.engine.view.run_part import RemovedError

OPTIONS: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu", "threads": 1, "preview": False}
FORMATS = ("png", "npy", *SHARD_FORMATS)


def run(outdir, model, seeds="0-9", **options):
    shards = {"shard_size": 4} if options.get("file_format") in SHARD_FORMATS else {}
    return run_seeds(seeds, model=model, outdir=outdir, **{**OPTIONS, **shards, **options})


@pytest.fixture
def folder(request):
    """A function that opens a folder, and looks for changes at each call."""
    opened = []

    def call(path):
        found = RunFolder(path)
        opened.append(found)
        return found

    yield call
    for one in opened:
        one.close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("sgi.engine.view.run_folder._INTERVAL", 0.0)


def states(opened):
    return [item["state"] for item in opened.items(0, 1000)["items"]]


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format(all_types_model, tmp_path, folder, file_format):
    skip_without_package(file_format)
    run(tmp_path, all_types_model, "5-9,20", file_format=file_format, seeds_per_folder=None)
    opened = folder(tmp_path)
    status = opened.status()
    assert [status[name] for name in ("state", "item", "total", "done", "missing", "damaged")] == [
        "finished", "seed", 6, 6, 0, 0,
    ]  # fmt: skip
    assert opened.types == Artifact.read(all_types_model).types
    assert opened.resolution == SIDE
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix not in (".json", ".jsonl")]
    zarr = list(tmp_path.rglob("shard-*/**/*.json"))
    assert status["bytes"] == sum(path.stat().st_size for path in (*files, *zarr))
    assert status["exact"]
    assert opened.items(4, 10) == {
        "total": 6,
        "items": [
            {"place": 4, "number": 9, "state": "done", "name": "seed000009"},
            {"place": 5, "number": 20, "state": "done", "name": "seed000020"},
        ],
    }
    assert (opened.find(20), opened.find(10)) == (5, None)
    found = opened.read(5)
    assert not found.damaged
    known = read_run(tmp_path)
    assert known
    wanted = read_maps(Job(tmp_path, known.seeds, known.record), Artifact.read(all_types_model), 5)
    assert list(found.maps) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found.maps[name], values)


def test_latents_mixing_and_classes(model, class_model, tmp_path, folder):
    latents = tmp_path / "z.npy"
    np.save(latents, np.random.RandomState(0).randn(3, Z_DIM).astype(np.float32))
    run_seeds(latents=latents, model=model, outdir=tmp_path / "latents", **OPTIONS)
    opened = folder(tmp_path / "latents")
    assert opened.item == "latent"
    assert opened.items(0, 2)["items"][1] == {"place": 1, "number": 1, "state": "done", "name": "latent0001"}
    assert opened.status()["settings"]["latents"] == "z of z.npy"

    run_classes("0-3", [0, 2], model=class_model, outdir=tmp_path / "classes", **OPTIONS)
    shutil.copytree(tmp_path / "classes" / "class2", tmp_path / "classes" / "class10")
    opened = folder(tmp_path / "classes")
    assert opened.status()["parts"] == [
        {"name": name, "start": start, "count": 4, "screen": {"psi": 0.7, "class": label, "mix": None, "alpha": {}}}
        for name, start, label in (("class0", 0, "0"), ("class2", 4, "2"), ("class10", 8, "2"))
    ]
    assert opened.items(4, 1)["items"][0]["name"] == "class2/seed000000"
    assert [opened.find(3, after) for after in (-1, 3, 7, 11)] == [3, 7, 11, 3]
    assert not np.array_equal(opened.read(0).maps["image"], opened.read(4).maps["image"])
    shutil.rmtree(tmp_path / "classes" / "class2")
    run(tmp_path / "classes" / "class2", model)
    opened.close()
    run(tmp_path / "classes" / "class2", model, "0-20")
    assert folder(tmp_path / "classes").total == 29


def test_missing_and_damaged_maps(model, tmp_path, folder):
    run(tmp_path, model, "0-9", file_format="npy")
    (tmp_path / "seed000003_depth.npy").unlink()
    path = tmp_path / "seed000006_image.npy"
    path.write_bytes(bytes(path.stat().st_size))
    lines = (tmp_path / "manifest.jsonl").read_text().splitlines(True)
    (tmp_path / "manifest.jsonl").write_text("".join(lines[:8]))
    opened = folder(tmp_path)
    assert states(opened) == ["done"] * 8 + ["missing"] * 2
    assert opened.items(0, 9, "missing")["total"] == 2
    assert [opened.next_missing(after) for after in (-1, 3, 8, 9)] == [(3, 3), (8, 8), (9, 9), (None, 9)]
    found = opened.read(3)
    assert (set(found.maps), found.damaged) == ({"image"}, {"depth": "missing"})
    assert opened.read(6).damaged["image"].startswith("damaged (")
    assert states(opened) == ["done"] * 3 + ["damaged"] + ["done"] * 2 + ["damaged", "done"] + ["missing"] * 2
    assert [item["place"] for item in opened.items(1, 2, "missing")["items"]] == [6, 8]
    assert opened.status()["damaged"] == 2
    assert [opened.next_missing(after)[0] for after in (3, 6)] == [6, 8]
    with pytest.raises(UserError, match="seed000008: missing; the run has not made it"):
        opened.read(8)
    run(tmp_path, model, "0-9", file_format="npy", verify=True)
    opened.refresh()
    assert states(opened) == ["done"] * 10


def test_a_damaged_type_of_a_shard(model, tmp_path, folder):
    run(tmp_path, model, file_format="npy-stack")
    (tmp_path / "shard-000001" / "depth.npy").write_bytes(b"no array")
    opened = folder(tmp_path)
    found = opened.read(4)
    assert set(found.maps) == {"image"}
    assert found.damaged["depth"].startswith("damaged (")
    shutil.rmtree(tmp_path / "shard-000002")
    assert opened.read(8).damaged == {"image": "missing", "depth": "missing"}
    assert opened.next_missing(4)[0] == 5  # the shard has another size
    assert opened.next_missing(7)[0] == 8


def test_a_run_is_followed(model, tmp_path, folder):
    run(tmp_path, model, "0-5,1000-1003")
    lines = (tmp_path / "manifest.jsonl").read_bytes().splitlines(True)
    (tmp_path / "manifest.jsonl").write_bytes(b"".join(lines[3:5]))
    opened = folder(tmp_path)
    assert (opened.status()["state"], opened.status()["done"]) == ("stopped", 2)
    line = LINES["seed"]
    version, stamp = opened.version, opened.stamp
    with Manifest(tmp_path / "manifest.jsonl") as manifest:
        assert opened.status()["state"] == "running"
        manifest.append(msgspec.json.decode(lines[8], type=line))
        assert states(opened)[3:5] == ["done"] * 2
        status = opened.status()
        assert (status["done"], status["missing"]) == (3, 7)
        assert status["version"] > version
        assert states(opened)[8] == "done"
        for text in lines[:3] + lines[5:8] + lines[9:]:
            manifest.append(msgspec.json.decode(text, type=line))
        opened.refresh()
        manifest.sort()
    assert opened.status()["state"] == "finished"
    assert opened.stamp == stamp  # the files are the same
    run(tmp_path, model, "0-7,1000-1003")
    status = opened.status()
    assert (status["total"], status["done"], opened.find(1000)) == (12, 12, 8)
    assert opened.stamp != stamp


def test_parts_that_are_written_by_several_processes(model, tmp_path, folder, monkeypatch):
    monkeypatch.setattr("sgi.engine.view.run_part._LISTED", 0.0)
    run(tmp_path, model, "0-8", shard="2/3")
    opened = folder(tmp_path)
    assert states(opened) == ["missing"] * 3 + ["done"] * 3 + ["missing"] * 3
    run(tmp_path, model, "0-8", shard="1/3")
    opened.refresh()
    assert states(opened) == ["done"] * 6 + ["missing"] * 3


def test_a_shard_of_a_shorter_run(model, tmp_path, folder):
    run(tmp_path, model, "0-5", file_format="npy-stack")
    opened = folder(tmp_path)
    run(tmp_path, model, "0-9", file_format="npy-stack", shard="3/3")
    opened.refresh()
    assert states(opened) == ["done"] * 6 + ["missing"] * 2 + ["done"] * 2
    assert not opened.read(5).damaged


def test_wrong_folders_are_refused(model, tmp_path):
    def refusal(path):
        with pytest.raises(UserError) as caught:
            RunFolder(path)
        return str(caught.value)

    assert "no such folder; name one that `sgi-engine run` wrote" in refusal(tmp_path / "none")
    (tmp_path / "file.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert "it is no folder but a picture (PNG)" in refusal(tmp_path / "file.png")
    (tmp_path / "empty").mkdir()
    assert "an empty folder; name one that" in refusal(tmp_path / "empty")
    assert "a folder without run.json" in refusal(tmp_path)
    run(tmp_path / "new", model)
    path = tmp_path / "new" / "run.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "format": 3}))
    assert "its run.json was not written by this version" in refusal(tmp_path / "new")
    assert refusal(tmp_path / "new").startswith("`what=")
    assert refusal(tmp_path / "new").endswith("; open another folder")
    path.write_text(json.dumps({**facts, "maps": [{"name": "image"}]}))
    assert "its run.json does not describe the maps (it lacks 'depth')" in refusal(tmp_path / "new")
    path.write_text(json.dumps({**facts, "model": 5}))
    assert "does not describe the maps" in refusal(tmp_path / "new")
    path.write_text(json.dumps(facts)[:100])
    assert "truncated or damaged" in refusal(tmp_path / "new")


def test_an_empty_run(model, tmp_path, folder):
    run(tmp_path, model, "0-4")
    (tmp_path / "manifest.jsonl").unlink()
    opened = folder(tmp_path)
    status = opened.status()
    assert (status["state"], status["done"], status["missing"], status["bytes"]) == ("stopped", 0, 5, 0)
    assert opened.spans() == {"depth": (1.0, 0.0)}
    assert opened.next_missing(-1)[0] == 0
    (tmp_path / "manifest.jsonl").write_text("no line\n")
    opened.refresh()
    assert opened.status()["done"] == 0


def test_a_folder_that_is_removed_and_comes_back(model, tmp_path, folder):
    run(tmp_path / "out", model)
    opened = folder(tmp_path / "out")
    shutil.move(tmp_path / "out", tmp_path / "away")
    with pytest.raises(RemovedError, match="the folder or its run.json is not there"):
        opened.status()
    with pytest.raises(RemovedError):
        opened.read(3)
    run(tmp_path / "out", model, "0-3")
    assert opened.status()["total"] == 4
    assert not opened.read(3).damaged


def test_pages_and_places_out_of_range(model, tmp_path, folder):
    run(tmp_path, model)
    opened = folder(tmp_path)
    for call in (
        lambda: opened.items(-1, 5),
        lambda: opened.items(0, 10**6),
        lambda: opened.items(0, 5, "bad"),
        lambda: opened.read(10),
        lambda: opened.at(-1),
    ):
        with pytest.raises(UserError):
            call()
    assert opened.items(20, 5) == {"total": 10, "items": []}


def test_a_hundred_thousand_seeds_open_quickly(model, tmp_path, folder):
    run(tmp_path, model, "0-7")
    facts = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps({**facts, "seeds": "0-4294967295"}))
    found = read_run(tmp_path)
    assert found
    count = 100_000
    seeds = [seed for seed in range(count) if seed % 1000]
    with (tmp_path / "manifest.jsonl").open("wb") as file:
        for seed in seeds:
            names = found.record.file_names(seed)
            file.write(msgspec.json.encode(LINES["seed"](seed, names, dict.fromkeys(names, 10), {})) + b"\n")
    began = time.process_time()
    opened = folder(tmp_path)
    status = opened.status()
    assert time.process_time() - began < 3  # about 0.3 s
    assert (status["total"], status["done"], status["exact"]) == (2**32, len(seeds), False)
    assert status["bytes"] == 20 * len(seeds)
    assert [item["place"] for item in opened.items(98, 4, "missing")["items"]] == [98000, 99000, 100000, 100001]
    assert opened.find(2**32 - 1) == 2**32 - 1
