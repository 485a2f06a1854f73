"""Runs beside another run, and on a disk that is read-only or removed; the same command continues."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

CALL = [sys.executable, "-c", "import sys, sgi.cli as cli; sys.exit(cli.main())", "run"]
OPTIONS = ["--seeds", "0-99", "--backend", "onnxruntime", "--threads", "1", "--quiet"]

# A run that writes the maps of 20 seeds and then waits until the file `go` exists.
HELD = """
import os, sys, time
import sgi.cli as cli, sgi.engine.run.map_writers as map_writers
go, write_maps, seen = sys.argv.pop(1), map_writers.write_maps, []
def held(*arguments):
    while len(seen) >= 20 and not os.path.exists(go):
        time.sleep(0.001)
    seen.append(1)
    return write_maps(*arguments)
map_writers.write_maps = held
sys.exit(cli.main())
"""


def start(model: Path, outdir: Path, call: list[str]) -> subprocess.Popen:
    arguments = [*call, *OPTIONS, "--model", str(model), "--outdir", str(outdir)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and stderr."""
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def held(model: Path, outdir: Path, go: Path) -> subprocess.Popen:
    """A run in which some maps are written, and which waits for the file `go`."""
    process = start(model, outdir, [sys.executable, "-c", HELD, str(go), "run"])
    while process.poll() is None and not (outdir.is_dir() and len(list(outdir.glob("seed*"))) >= 40):
        time.sleep(0.01)
    assert process.poll() is None
    return process


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    outdir = tmp_path_factory.mktemp("whole")
    assert end(start(model, outdir, CALL)) == (0, "")
    return contents(outdir)


def test_two_runs_in_one_folder(model, tmp_path, whole):
    out, go = tmp_path / "out", tmp_path / "go"
    first = held(model, out, go)
    assert end(start(model, out, CALL)) == (
        2, f"error: --outdir {out}: another run is writing there; wait for it, or choose another --outdir\n",
    )  # fmt: skip
    go.touch()
    assert end(first) == (0, "")
    assert contents(out) == whole


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_removed_while_a_run_writes(model, tmp_path, whole, replaced):
    """As of a mount that vanishes: its folder is gone, or an empty one is in its place."""
    out, go = tmp_path / "out", tmp_path / "go"
    process = held(model, out, go)
    shutil.move(out, tmp_path / "vanished")
    if replaced:
        out.mkdir()
    go.touch()
    code, err = end(process)
    assert code == 2
    assert err.startswith(f"error: --outdir {out}: the folder or its disk is gone (")
    assert err.endswith("); mount it again and run the same command again to continue\n")
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(tmp_path / "vanished", out)
    assert end(start(model, out, CALL)) == (0, "")
    assert contents(out) == whole


def test_a_read_only_disk(model, tmp_path, whole):
    """A file system of its own, made read-only before a run and during one; skipped without the right to mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        out, go = disk / "out", tmp_path / "go"
        process = held(model, out, go)
        # Not a remount: the kernel refuses one while a file is open for writing.
        process.send_signal(signal.SIGKILL)
        process.communicate()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        refusal = "cannot write there (Read-only file system); choose another --outdir\n"
        assert end(start(model, out, CALL)) == (2, f"error: --outdir {out}: {refusal}")
        assert end(start(model, disk / "new", CALL)) == (2, f"error: --outdir {disk / 'new'}: {refusal}")
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert end(start(model, out, CALL)) == (0, "")
        assert contents(out) == whole
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.getuid() == 0, reason="permissions do not bind root")
def test_a_folder_without_the_permission_to_write(model, tmp_path):
    tmp_path.chmod(0o500)
    code, err = end(start(model, tmp_path / "out", CALL))
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot write there (Permission denied)" in err


def test_a_caller_that_ignores_sigterm_is_respected(model, tmp_path, whole):
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); import sgi.cli as c; sys.exit(c.main())"
    process = start(model, tmp_path / "ignored", [sys.executable, "-c", code, "run"])
    while process.poll() is None and not (tmp_path / "ignored" / "run.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    assert end(process) == (0, "")
    assert contents(tmp_path / "ignored") == whole
