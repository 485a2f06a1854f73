"""Runs on a real Ray with two workers: the files are those of one machine, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from kill_points import contents
from recorded_progress import RecordedProgress
from s3_server import set_s3
from tiny_models import describe, write_model

from sgi.engine.cluster import RayCluster
from sgi.engine.cluster import worker as workers
from sgi.engine.cluster.crew import Crew
from sgi.engine.cluster.member import Member
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file
from sgi.engine.generator_model import ExportedModel, ModelSource, generator_source
from sgi.engine.run import RunInterrupted, run_seeds, verify_folder
from sgi.engine.run.job import Job
from sgi.engine.run.shard_files import is_held
from sgi.engine.version import __version__

ray = pytest.importorskip("ray", reason="the extra `scale` is not installed")

OPTIONS = {
    "backend": "onnxruntime", "device": "cpu", "preview": False, "shard_size": 4, "file_format": "npy-stack",
}  # fmt: skip


@pytest.fixture(scope="session")
def started(s3_endpoint):
    """The address of Ray with two CPU cores, whose workers have the credentials of the S3 server."""
    sigterm = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as environment:
        set_s3(environment, s3_endpoint)
        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="critical",
            object_store_memory=100_000_000,
        )  # fmt: skip
    signal.signal(signal.SIGTERM, sigterm)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def cluster(started):
    with RayCluster() as cluster:
        yield cluster


def run(outdir, model, seeds="0-39", **options):
    return run_seeds(seeds, model=model, outdir=outdir, **{**OPTIONS, **options})


def processes() -> list[int]:
    """The processes of workers."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::Worker"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_the_files_of_a_cluster_are_those_of_one_machine(cluster, model, tmp_path):
    progress = RecordedProgress()
    run(tmp_path / "one", model, "0-6")
    run(tmp_path / "many", model, "0-6")
    run(tmp_path / "one", model)
    report = run(tmp_path / "many", model, cluster=cluster, progress=progress, preview=True)
    (tmp_path / "many" / "preview.png").unlink()
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert (report.written, report.found, report.set_aside) == (36, 4, ())
    assert (report.backend, report.device) == ("onnxruntime", "cpu")
    assert report.files == 9 * 3  # an array for each type, and the seeds
    assert report.bytes == sum(path.stat().st_size for path in tmp_path.glob("many/shard-*/*")) * 9 // 10
    assert progress.done == progress.totals == {"seeds": 40}
    assert progress.figures["seeds"]["limit"] in ("generate", "encode", "write")
    assert progress.messages == []
    report = run(tmp_path / "many", model, cluster=cluster)
    assert (report.written, report.found) == (0, 40)


def test_shards_of_a_killed_worker_are_made_by_others(cluster, model, tmp_path, monkeypatch):
    step = Crew._step
    killed: list[int] = []

    def watched(crew):
        step(crew)
        if not killed and any(member.finished for member in crew._members):
            busy = [member for member in crew._members if member.orders]
            if len(busy) == 2:
                killed.append(processes()[0])
                os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Crew, "_step", watched)
    progress = RecordedProgress()
    run(tmp_path / "one", model, "0-2999", shard_size=30)
    report = run(tmp_path / "many", model, "0-2999", shard_size=30, cluster=cluster, progress=progress)
    assert killed
    assert report.written == 3000
    (lost,) = progress.messages
    assert "was lost (its process ended); " in lost
    assert lost.endswith(" of its shards are made again")
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_objects_of_a_cluster_are_the_files_of_one_machine(cluster, s3, model, tmp_path):
    run(tmp_path, model)
    report = run(s3.url, model, cluster=cluster, preview=True)
    assert (report.written, str(report.outdir)) == (40, s3.url)
    found = s3.contents()
    assert found.pop("preview.png").startswith(b"\x89PNG")
    assert found == contents(tmp_path)
    assert verify_folder(s3.url).is_complete


def test_an_interruption_ends_the_workers_and_keeps_finished_shards(cluster, model, tmp_path, monkeypatch):
    step = Crew._step

    def interrupted(crew):
        step(crew)
        if any(member.finished for member in crew._members):
            raise KeyboardInterrupt

    monkeypatch.setattr(Crew, "_step", interrupted)
    with pytest.raises(RunInterrupted) as stop:
        run(tmp_path, model, "0-199999", cluster=cluster, shard_size=100)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert 100 * len(lines) == stop.value.finished >= 100
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".shard-") or ".part-" in name]
    until = time.monotonic() + 60
    while processes() and time.monotonic() < until:
        time.sleep(0.1)
    assert not processes()


def test_an_error_of_the_user_is_one_line_and_not_tried_again(cluster, tmp_path):
    damaged = write_model(tmp_path / "damaged.onnx", describe(), damage="depth")
    with pytest.raises(UserError, match="the depth map of seed 0 contains values that are not finite"):
        run(tmp_path / "out", damaged, "0-3", cluster=cluster)


def command_of(outdir, model, started, seeds) -> subprocess.Popen[str]:
    """A command that has finished a shard on one worker."""
    call = [sys.executable, "-m", "sgi.cli", "run", "--model", model, "--seeds", seeds, "--shard-size", "100"]
    call += ["--format", "npy-stack", "--outdir", outdir, "--cluster", "auto", "--workers", "1", "--json"]
    process = subprocess.Popen(
        [*map(str, call), "--no-preview"], env={**os.environ, "RAY_ADDRESS": started}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:  # Ray prints nothing between the objects
        if json.loads(line).get("written", 0) >= 100:
            break
    return process


def test_shards_that_workers_finish_after_the_command_was_killed_are_used(started, model, tmp_path):
    seeds, out = "0-29999", tmp_path / "out"
    process = command_of(out, model, started, seeds)
    process.send_signal(signal.SIGSTOP)  # answers of the worker are not taken any more
    recorded = len((out / "manifest.jsonl").read_text().splitlines())
    until = time.monotonic() + 60
    while len(list(out.glob("shard-*"))) < recorded + 3:
        assert time.monotonic() < until
        time.sleep(0.1)
    process.kill()
    process.communicate()
    # A worker that ends has no command line any more, but still the lock of its shard.
    while processes() or any(map(is_held, out.glob(".shard-*"))):
        assert time.monotonic() < until
        time.sleep(0.1)
    placed = len(list(out.glob("shard-*")))
    assert placed > len((out / "manifest.jsonl").read_text().splitlines())
    report = run(out, model, seeds, shard_size=100, backend="auto")
    assert (report.found, report.set_aside) == (placed * 100, ())
    assert {path.name for path in out.iterdir() if not path.name.startswith("shard-")} == {"run.json", "manifest.jsonl"}


def test_sigterm_ends_the_command(started, model, tmp_path):
    process = command_of(tmp_path / "out", model, started, "0-999999")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    last = json.loads(out.splitlines()[-1])
    assert last["event"] == "interrupted"
    assert err == f"interrupted: {last['finished']} of 1000000 seeds are finished; the same command continues\n"
    assert len((tmp_path / "out" / "manifest.jsonl").read_text().splitlines()) == last["finished"] // 100 >= 1


def test_a_cluster_that_cannot_be_reached(started, model, tmp_path):
    began = time.monotonic()
    with pytest.raises(UserError, match=r"`cluster=ray://127.0.0.1:9`: nothing answers at ray://127.0.0.1:9; start a"):
        run(tmp_path / "out", model, cluster=RayCluster("ray://127.0.0.1:9"))
    assert time.monotonic() - began < 30
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"worker_cpus": 4}, "`worker_cpus=4`: the largest machine of the cluster has 2 CPU cores"),
        ({"worker_gpus": 1}, "`worker_gpus=1`: the largest machine of the cluster has 0 GPUs"),
    ],
)
def test_workers_that_have_no_room(started, model, tmp_path, options, message):
    with RayCluster(**options) as cluster, pytest.raises(UserError, match=message):
        run(tmp_path / "out", model, cluster=cluster)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"address": "tcp://a:1"}, "`cluster=tcp://a:1`: write auto, or ray://HOST:PORT"),
        ({"workers": 0}, "`workers=0`: at least 1"),
        ({"worker_cpus": 0}, "`worker_cpus=0`: above 0, a fraction up to 1 or a whole number up to 1024"),
        ({"worker_gpus": 1.5}, "`worker_gpus=1.5`: a fraction"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(UserError, match=message):
        RayCluster(**options)


def test_a_cluster_makes_shards_only(model, tmp_path):
    with pytest.raises(UserError, match="`file_format=png`: a cluster makes shards; choose from webdataset"):
        run_seeds("0-3", model=model, outdir=tmp_path / "out", cluster=RayCluster())
    with pytest.raises(UserError, match="`file_format=dummy`: measures this machine, .*; leave out `cluster`"):
        run_seeds("0-3", model=model, file_format="dummy", cluster=RayCluster())
    assert not (tmp_path / "out").exists()


def test_a_missing_ray_names_the_extra(monkeypatch):
    monkeypatch.setattr("sgi.engine.cluster.ray_cluster.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'ray is not installed: pip install "sgi-engine\[scale\]"'):
        RayCluster()


def test_options_of_workers_without_a_cluster(command, tmp_path):
    code, _, err = command("run", "--seeds", 0, "--outdir", tmp_path / "out", "--worker-cpus", 2)
    assert (code, err.splitlines()[-1]) == (2, "error: --worker-cpus 2.0 has no effect without --cluster")


def test_a_worker_of_another_version():
    greeting = workers.Greeting("node7", 1, "0.0.9")
    with pytest.raises(UserError, match=f"the machine node7 has sgi-engine 0.0.9, and this one {__version__}; install"):
        Crew._greeted(cast(Crew, SimpleNamespace()), Member(None, 0), greeting)


def test_a_worker_that_does_not_see_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_SECONDS_TO_SEE", 0.0)
    with pytest.raises(UserError, match=r"`outdir=.*`: the worker on .* does not see this folder; choose one that all"):
        workers.Worker().start(cast(Job, None), tmp_path, "token")


def test_the_bytes_of_a_model_that_is_not_on_the_worker(model, tmp_path):
    source = ExportedModel(model)
    parcel = workers.Parcel(tmp_path / "elsewhere.onnx", sha256_file(model), source.reopen, {}, 1)
    worker = workers.Worker()
    assert worker._model_file(parcel, None) is None
    parcel.path.write_bytes(b"another model")
    assert worker._model_file(parcel, None) is None
    path = worker._model_file(parcel, np.fromfile(model, np.uint8))
    assert path is not None
    assert (path.name, path.read_bytes()) == ("elsewhere.onnx", model.read_bytes())
    worker.stop()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["exported", "triton"])
def test_a_model_is_the_same_on_a_worker(kind, model):
    source: ModelSource = ExportedModel(model)
    if kind == "triton":
        source = generator_source("bundled", types=["image", "depth"], backend="triton", device="cpu")
    again = pickle.loads(pickle.dumps(source.reopen))(source.path)
    assert (again.sha256, again.precision, again.artifact) == (source.sha256, source.precision, source.artifact)
