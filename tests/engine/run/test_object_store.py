"""Runs into URLs: the same bytes as in folders, continuation, parts, kills, and what stores refuse."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from counting_backend import Fake
from kill_points import contents
from s3_server import set_s3
from shard_cases import skip_without_package

from sgi.engine.api import Engine
from sgi.engine.errors import UserError
from sgi.engine.run import pipeline, run_classes, run_seeds, shard_loop, verify_folder
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.record import RunRecord
from sgi.engine.run.stores import opening, remote_calls
from sgi.engine.run.stores.object_store import ObjectStore
from sgi.engine.run.stores.opening import check_outdir, is_url, open_store
from sgi.engine.seeds import parse_seeds
from sgi.engine.shards import SHARD_FORMATS

fsspec = pytest.importorskip("fsspec")

OPTIONS: dict[str, Any] = {"backend": "onnxruntime", "device": "cpu", "threads": 1, "shard_size": 4, "batch": 3}
RECORD = RunRecord(
    "a" * 64, ("image", "depth"), 0.7, None, "npy-stack", 6, "fake", "cpu", seeds_per_folder=0, batch=3,
    shard_size=4, dtype="float32", compression="none",
)  # fmt: skip


def run(outdir, model, seeds="0-9", file_format="webdataset", **options):
    return run_seeds(seeds, model=model, outdir=outdir, file_format=file_format, **{**OPTIONS, **options})


def fake_run(url, text="0-9", shard=(1, 1), backend=None, **record):
    """A run of a counting backend, as `run_seeds` does it."""
    outcome = Outcome()
    with open_store(url) as store:
        store.read_records()
        job = Job(store.folder, parse_seeds(text), replace(RECORD, **record), shard)
        store.claim(lambda: pipeline.prepare(job, {}))
        shard_loop.run(Engine(backend or Fake(), 3), job, outcome, store=store)
    return outcome


@pytest.fixture
def memory():
    """The file system of fsspec in memory, empty."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()


def in_memory(files, url):
    root = url.removeprefix("memory:/")
    return {path[len(root) + 1 :]: bytes(files.cat_file(path)) for path in files.find(root)}


@pytest.mark.parametrize("file_format", ["webdataset", "zarr"])
def test_the_objects_are_the_files_of_a_folder(model, tmp_path, s3, file_format):
    skip_without_package(file_format)
    check_objects(s3.url, model, tmp_path, file_format, s3.contents)


@pytest.mark.parametrize("file_format", sorted(set(SHARD_FORMATS) - {"webdataset", "zarr"}))
def test_the_objects_of_other_formats_are_the_files_of_a_folder(all_types_model, tmp_path, memory, file_format):
    skip_without_package(file_format)
    url = "memory://bucket/pairs"
    check_objects(url, all_types_model, tmp_path, file_format, lambda: in_memory(memory, url))


def check_objects(url, model, folder, file_format, read):
    """A run into a URL, the same run again, and `verify`; read: the objects."""
    report = run(url, model, file_format=file_format)
    assert (report.written, report.found, report.set_aside) == (10, 0, ())
    assert (report.outdir, report.manifest) == (url, f"{url}/manifest.jsonl")
    assert report.preview == f"{url}/preview.png"
    local = run(folder, model, file_format=file_format)
    assert read() == contents(folder)
    assert (report.files, report.bytes) == (local.files, local.bytes)
    again = run(url, model, file_format=file_format, verify=True, preview=False)
    assert (again.written, again.found) == (0, 10)
    found = verify_folder(url, render=2, model=model)
    assert found.is_complete
    assert not found.findings
    assert (found.finished, found.merged, found.rendering.identical) == (10, 0, 2)


def test_verify_finds_what_is_wrong_with_objects(model, s3):
    run(s3.url, model)
    bucket = s3.url.removeprefix("s3://")
    data = s3.files.cat_file(f"{bucket}/shard-000001.tar")
    s3.files.pipe_file(f"{bucket}/shard-000001.tar", data[:-1] + b"x")
    s3.files.pipe_file(f"{bucket}/shard-000009.tar", b"of another program")
    s3.files.rm_file(f"{bucket}/shard-000002.tar")
    found = verify_folder(s3.url)
    assert (str(found.damaged), found.foreign) == ("4-9", ("shard-000009.tar",))
    report = run(s3.url, model, verify=True)
    assert (report.written, report.found) == (6, 4)
    assert report.set_aside == (f"{s3.url}/shard-000001.tar.set-aside",)
    assert s3.files.cat_file(f"{bucket}/shard-000001.tar.set-aside").endswith(b"x")
    s3.files.rm_file(f"{bucket}/shard-000009.tar")
    assert not verify_folder(s3.url).findings


def test_parts_are_merged_by_verify_and_a_longer_list_extends_them(model, tmp_path, s3):
    for part in (3, 1, 2):
        run(s3.url, model, shard=f"{part}/3", preview=False)
    assert sorted(name for name in s3.contents() if name.startswith("manifests/")) == [
        f"manifests/shard-{number:06d}.jsonl" for number in range(3)
    ]
    assert verify_folder(s3.url).merged == 3
    run(tmp_path, model, preview=False)
    assert s3.contents() == contents(tmp_path)
    assert run(s3.url, model, "0-13", preview=False).found == 8
    run(tmp_path, model, "0-13", preview=False)
    assert s3.contents() == contents(tmp_path)


def test_classes_have_prefixes_of_their_own(class_model, s3):
    first, second = run_classes(
        "0-3", "0,2", model=class_model, outdir=s3.url, file_format="webdataset", preview=False, **OPTIONS
    )
    assert (first.outdir, second.outdir) == (f"{s3.url}/class0", f"{s3.url}/class2")
    assert {name.partition("/")[0] for name in s3.contents()} == {"class0", "class2"}


def test_the_arrays_of_a_run_open_by_url(model, s3):
    skip_without_package("zarr")
    from sgi.engine.shards.zarr_run import open_run

    run(s3.url, model, file_format="zarr")
    assert np.array_equal(np.asarray(open_run(s3.url)["seed"]), range(10))


def test_a_killed_run_is_continued(model, tmp_path, s3):
    code = (
        "import sys; from sgi.engine.run import run_seeds; run_seeds('0-39', model=sys.argv[1], outdir=sys.argv[2], "
        "file_format='webdataset', backend='onnxruntime', device='cpu', threads=1, shard_size=2, preview=False)"
    )
    tested = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    (tmp_path / "temporary").mkdir()
    child = subprocess.Popen([sys.executable, "-c", code, str(model), s3.url], env=tested)
    lines = f"{s3.url.removeprefix('s3://')}/manifests"
    deadline = time.monotonic() + 60
    while len(s3.files.find(lines)) < 3 and child.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    options = {"batch": None, "shard_size": 2, "preview": False}
    report = run(s3.url, model, "0-39", **options)
    assert report.found >= 6
    assert report.found + report.written == 40
    run(tmp_path / "local", model, "0-39", **options)
    assert s3.contents() == contents(tmp_path / "local")


CALLS = ("cat_file", "cat_ranges", "get_file", "ls", "find", "pipe_file", "put_file", "cp_file", "rm", "rm_file")


class Killed(BaseException):
    """Ends a run as a kill does: nothing catches it."""


@pytest.mark.parametrize("file_format", ["npy-stack", "webdataset"])
def test_every_call_of_a_store_can_be_the_last_one(memory, monkeypatch, file_format):
    fake_run("memory://begun/pairs", "0-5", file_format=file_format)  # its last shard is replaced by the longer run
    begun = in_memory(memory, "memory://begun/pairs")
    fake_run("memory://whole/pairs", file_format=file_format)
    whole = in_memory(memory, "memory://whole/pairs")
    count, last = 0, None

    def counted(call):
        def called(*arguments, **options):
            nonlocal count
            if count == last:
                raise Killed
            count += 1
            return call(*arguments, **options)

        return called

    for name in CALLS:
        monkeypatch.setattr(type(memory), name, counted(getattr(type(memory), name)))
    kills = 0
    while True:
        url = f"memory://cut{kills}/pairs"
        last = None
        for name, data in begun.items():
            memory.pipe_file(f"/cut{kills}/pairs/{name}", data)
        count, last = 0, kills
        try:
            fake_run(url, file_format=file_format)
        except Killed:
            last = None
            fake_run(url, file_format=file_format)
            found = in_memory(memory, url)
            # A folder of which some files are new and some old is neither the old shard nor the new one.
            found = {name: data for name, data in found.items() if ".set-aside" not in name}
            assert found == whole, f"killed at call {kills}"
            kills += 1
        else:
            break
    assert kills > 15


def test_two_first_runs_agree_on_one_run_json(memory, monkeypatch):
    url = "memory://bucket/pairs"
    with open_store(url) as store:
        store.read_records()
        job = Job(store.folder, parse_seeds("0-9"), replace(RECORD, psi=0.5))
        fake_run(url)
        with pytest.raises(UserError, match=r": its maps have other settings: `psi=0.7`, not 0.5;"):
            store.claim(lambda: pipeline.prepare(job, {}))


def test_a_store_without_conditional_writes_takes_a_run(memory, monkeypatch):
    pipe = type(memory).pipe_file

    def refuses(files, path, value, mode="overwrite", **options):
        if mode == "create":
            raise OSError(errno.ENOSYS, "A header you provided implies functionality that is not implemented")
        pipe(files, path, value, mode=mode, **options)

    monkeypatch.setattr(type(memory), "pipe_file", refuses)
    assert fake_run("memory://bucket/pairs").written == 10
    assert fake_run("memory://bucket/pairs").found == 10


def test_a_run_json_that_was_replaced_ends_a_run(memory):
    url = "memory://bucket/pairs"
    fake_run(url)
    with open_store(url) as store:
        store.read_records()
        memory.rm("/bucket/pairs", recursive=True)
        fake_run(url, psi=0.5)
        with pytest.raises(UserError, match=rf"^`outdir={url}`: another run has replaced run.json"):
            store.publish_manifest(store.folder / "manifest.jsonl")


def test_shards_without_run_json_are_refused(memory, model):
    memory.pipe_file("/bucket/pairs/shard-000000.tar", b"1")
    with pytest.raises(
        UserError, match=r"^`outdir=memory://bucket/pairs`: it contains maps \(shard-000000.tar\) and no"
    ):
        run("memory://bucket/pairs", model)
    with pytest.raises(UserError, match=r"^`outdir=memory://bucket/empty`: it has no run.json"):
        verify_folder("memory://bucket/empty")


@pytest.mark.parametrize("name", ["depth.npy", "notes.txt"])
def test_a_foreign_object_in_the_place_of_a_shard_is_kept(memory, name):
    memory.pipe_file(f"/bucket/pairs/shard-000001/{name}", b"of another program")
    memory.pipe_file("/bucket/pairs/run.json", b"x")
    memory.rm_file("/bucket/pairs/run.json")
    with open_store("memory://bucket/pairs") as store:
        job = Job(store.folder, parse_seeds("0-9"), RECORD)
        store.claim(lambda: pipeline.prepare(job, {}))
        outcome = Outcome()
        shard_loop.run(Engine(Fake(), 3), job, outcome, store=store)
        assert outcome.set_aside == [store.folder / "shard-000001.set-aside"]
    found = in_memory(memory, "memory://bucket/pairs")
    assert found[f"shard-000001.set-aside/{name}"] == b"of another program"
    assert sorted(name for name in found if name.startswith("shard-000001/")) == [
        "shard-000001/depth.npy", "shard-000001/image.npy", "shard-000001/seeds.npy",
    ]  # fmt: skip


def test_a_network_that_comes_back_is_waited_for(memory, monkeypatch):
    monkeypatch.setattr(remote_calls, "_DELAYS", (0.01, 0.01))
    said: list[str] = []
    calls = remote_calls.RemoteCalls("s3://bucket/pairs", said.append)
    answers = [ConnectionError("reset"), OSError(16, "Please reduce your request rate"), 7]

    def answer():
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    assert calls(lambda: 1) == 1
    assert calls(answer) == 7
    assert [text.partition(";")[0] for text in said] == [
        "s3://bucket/pairs: reset", "s3://bucket/pairs: Please reduce your request rate",
    ]  # fmt: skip
    answers[:] = [ConnectionError("reset")] * 4
    with pytest.raises(UserError, match=r"^`outdir=s3://bucket/pairs`: no answer \(reset\); check the network"):
        calls(answer)
    assert len(answers) == 1
    calls.stop_retrying()
    answers[:] = [ConnectionError("reset")] * 4
    with pytest.raises(UserError, match="no answer"):
        calls(answer)
    assert len(answers) == 3


def refusal(outdir, model, **options):
    began = time.monotonic()
    with pytest.raises(UserError) as refused:
        run(outdir, model, **options)
    assert time.monotonic() - began < 15
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_a_store_refuses_is_one_line(model, s3, monkeypatch):
    assert refusal("s3://no-such-bucket/pairs", model).startswith(
        "`outdir=s3://no-such-bucket/pairs`: no such bucket or container (The specified bucket does not exist); make"
    )
    run(s3.url, model, preview=False)
    before = s3.contents()
    assert refusal(s3.url, model, shard_size=5).startswith(
        f"`outdir={s3.url}`: its maps have other settings: `shard_size=4`, not 5"
    )
    assert refusal(s3.url, model, seeds="1-9").startswith(f"`outdir={s3.url}`: its shards are of other `seeds`")
    assert refusal(s3.url, model, file_format="png", shard_size=None) == (
        "`file_format=png`: a file for each map is for folders only; with a URL choose webdataset, parquet, npy-stack, "
        "zarr, exr"
    )
    assert s3.contents() == before
    s3.check_credentials(True)
    try:
        assert refusal(s3.url, model).startswith(
            f"`outdir={s3.url}`: refused (The AWS Access Key Id you provided does not exist in our records); the cred"
        )
        with pytest.raises(UserError, match=rf"^`outdir={s3.url}`: refused"):
            verify_folder(s3.url)
    finally:
        s3.check_credentials(False)
    assert s3.contents() == before
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    set_s3(monkeypatch, address)
    assert refusal(s3.url, model).startswith(
        f'`outdir={s3.url}`: no answer (Could not connect to the endpoint URL: "ht'
    )
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert refusal(s3.url, model) == (
        f"`outdir={s3.url}`: no credentials (The config profile (nobody) could not be found); set AWS_PROFILE to a "
        "profile of ~/.aws, or unset it; then run the same command again to continue"
    )
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert refusal(s3.url, model).startswith(
        f"`outdir={s3.url}`: no credentials (Unable to locate credentials); for S3"
    )


def test_credentials_that_expire_in_a_run_keep_what_is_finished(model, s3, monkeypatch):
    """The third shard is refused; the run continues with new credentials."""
    placed: list[str] = []
    place = ObjectStore.place

    def refused(store, made, name, replaces):
        if len(placed) == 2:
            s3.check_credentials(True)
        placed.append(name)
        return place(store, made, name, replaces)

    monkeypatch.setattr(ObjectStore, "place", refused)
    monkeypatch.setattr(ObjectStore, "uploads", 0)  # one after the other
    try:
        with pytest.raises(UserError, match=rf"^`outdir={s3.url}`: refused"):
            run(s3.url, model, preview=False)
    finally:
        s3.check_credentials(False)
        monkeypatch.undo()
        set_s3(monkeypatch, s3.endpoint)
    report = run(s3.url, model, preview=False)
    assert (report.found, report.written) == (8, 2)


def test_missing_packages_and_wrong_urls_are_one_line(model, monkeypatch):
    assert refusal("foo://bucket/x", model).startswith("`outdir=foo://bucket/x`: Protocol not known: foo")
    assert refusal("s3:/bucket/x", model).startswith("`outdir=s3:/bucket/x`: write a URL as text with two slashes")
    assert refusal(Path("s3://bucket/x"), model).startswith("`outdir=s3:/bucket/x`: write a URL as text")
    assert "a URL without" in refusal("s3://bucket/x*", model)
    web = refusal("https://bucket.s3.amazonaws.com/x", model)
    assert web.startswith("`outdir=https://bucket.s3.amazonaws.com/x`: a web address is not the URL of a store; write")
    secret = refusal("sftp://me:secret@host/x", model)
    assert secret.startswith("`outdir=sftp://me:***@host/x`: a URL without a password")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    assert refusal("gs://bucket/x", model).endswith(": it needs the package of gs://")
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert 'pip install "sgi-engine[remote]"' in refusal("s3://bucket/x", model)
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert 'pip install "sgi-engine[remote]"' in refusal("s3://bucket/x", model)


def test_urls_of_this_machine_are_folders(model, tmp_path):
    url = f"file://{tmp_path}/a%20b"
    assert not is_url(url)
    assert check_outdir(url) == tmp_path / "a b"
    assert run(url, model, preview=False).outdir == tmp_path / "a b"
    assert (tmp_path / "a b" / "run.json").exists()
    assert verify_folder(url).is_complete
    assert check_outdir("s3://bucket/pairs/") == "s3://bucket/pairs"


def test_a_full_disk_of_temporary_files_is_named(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(opening.tempfile, "tempdir", str(tmp_path))

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sgi.engine.shards.npy_stack.np.save", full)
    with pytest.raises(UserError, match=rf"^temporary files in {tmp_path} \(TMPDIR\): the disk is full; free space"):
        fake_run("memory://bucket/pairs")
    assert not list(tmp_path.iterdir())


def test_uploads_run_beside_the_making_of_the_next_shards(memory, monkeypatch):
    """With one upload at a time the second shard is made while the first one is uploaded."""
    order = []
    place, second = ObjectStore.place, threading.Event()

    def slow(store, made, name, replaces):
        order.append(f"begin {name}")
        if name == "shard-000000":
            assert second.wait(30)
        found = place(store, made, name, replaces)
        order.append(f"end {name}")
        return found

    class Noted(Fake):
        def run(self, *arguments, **options):
            if len(self.batches) == 2:  # the first batch of the second shard
                second.set()
            return super().run(*arguments, **options)

    monkeypatch.setattr(ObjectStore, "place", slow)
    monkeypatch.setattr(ObjectStore, "uploads", 1)
    assert fake_run("memory://bucket/pairs", backend=Noted()).written == 10
    assert order[:2] == ["begin shard-000000", "end shard-000000"]


def test_what_killed_runs_left_in_the_temporary_folder_is_removed(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(opening.tempfile, "tempdir", str(tmp_path))
    left, young = (tmp_path / f"{opening._PREFIX}{name}" for name in ("left", "young"))
    with open_store("memory://bucket/live") as store:
        for folder in (left, young):
            folder.mkdir()
            (folder / ".held").touch()
        for folder in (left, store.folder):
            os.utime(folder, (0, 0))
        with open_store("memory://bucket/pairs"):
            assert (left.exists(), young.exists(), store.folder.exists()) == (False, True, True)


def test_the_command_takes_urls(model, s3, command):
    arguments = ["--model", model, "--seeds", "0-9", "--shard-size", 4, "--format", "webdataset", "--outdir", s3.url]
    code, out, err = command("run", *arguments, "--backend", "onnxruntime", "--device", "cpu", "--json", "--quiet")
    assert (code, err) == (0, "")
    facts = SimpleNamespace(**json.loads(out.splitlines()[-1]))
    assert (facts.outdir, facts.manifest) == (s3.url, f"{s3.url}/manifest.jsonl")
    code, out, _ = command("verify", s3.url, "--model", model, "--quiet")
    assert (code, out.splitlines()[0]) == (0, "finished    10 of 10 seeds")
    code, _, err = command("run", *arguments[:-1], "s3://no-such-bucket/x", "--quiet")
    assert code == 2
    assert err.startswith("error: --outdir s3://no-such-bucket/x: no such bucket")
    code, _, err = command("run", *arguments[:-1], "memory://bucket/x", "--quiet")
    assert code == 2
    assert err.startswith("error: --outdir memory://bucket/x: memory:// ends with the command")
