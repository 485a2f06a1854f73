"""Kill -9 of runs at random moments: the files that remain at the end are those of an uninterrupted run.

    python benchmarks/soak.py [--kills 200] [--minutes 10] [--seeds 0-1999] [--random 0] [--cluster]
        -- [OPTIONS OF sgi-engine run]

Each process of `sgi-engine run` is killed at a random moment: one in ten between the start of the process and its first
change of the folder, the others after that change, within 0.1 times the work of a whole run. The next one continues in
the same folder. A process that ends by itself must have exit code 0; the folder is then
compared with that of the uninterrupted run, file by file, and the next one begins a new folder. Options after `--`
select the format and the model, such as `--format npy --model tiny.onnx`. Prints a line for each folder; exit code 1 at
the first difference, and the folder is kept.

With --cluster, `run --cluster auto` starts Ray on this machine, and its workers are killed, not the run, which replaces
them: each folder is one run. One kill follows the other after 0.1 times the work of a whole run at most, and after a
worker has been started again. The uninterrupted run is without a cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path

from command import COMMAND
from record import append

_LONGEST_WAIT = 0.1  # of the work of a whole run; a run that continues a folder has less to do, and can end
_EARLY = 0.1
_POLL = 0.002


def main() -> int:
    """Kill runs until the number of kills or the time is reached; returns the exit code."""
    parser = argparse.ArgumentParser(description="kill -9 of runs at random moments")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", default="0-1999")
    parser.add_argument("--random", type=int, default=0, help="seed of the moments")
    parser.add_argument("--cluster", action="store_true", help="kill workers of a cluster on this machine")
    parser.add_argument("--workdir", type=Path, help="where the folders are made. Default: that of temporary files")
    parser.add_argument("--record", action="store_true", help="append the figures to results.jsonl")
    parser.add_argument("options", nargs="*", help="options of `sgi-engine run`, after --")
    given = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="sgi-soak-", dir=given.workdir))
    call = [*COMMAND, "run", "--seeds", given.seeds, "--quiet", *given.options]

    began = time.monotonic()
    process = start(call, work / "whole")
    until_change(process, work / "whole")
    first = time.monotonic() - began
    if code := process.wait():
        return code
    duration = time.monotonic() - began - first
    whole = hashes(work / "whole")
    print(f"uninterrupted: {len(whole)} files in {duration:.1f} s, {first:.1f} s after the start", flush=True)

    choose = random.Random(given.random)
    until = time.monotonic() + 60 * given.minutes
    kills = folders = in_folder = 0
    folder = work / "killed"
    while given.cluster and kills < given.kills and time.monotonic() < until:
        killed, code = kill_workers(call, folder, choose, _LONGEST_WAIT * duration, given.kills - kills)
        kills, folders = kills + killed, folders + 1
        if code or not same(whole, folder):
            print(f"exit code {code} after {killed} kills of workers; kept: {work}", flush=True)
            return 1
        print(f"folder {folders}: the same files after {killed} kills of workers; {kills} in all", flush=True)
        shutil.rmtree(folder)
    while not given.cluster and kills < given.kills and time.monotonic() < until:
        process = start(call, folder)
        try:
            if choose.random() < _EARLY:
                code = process.wait(choose.uniform(0, first))
            else:
                until_change(process, folder)
                code = process.wait(choose.uniform(0, _LONGEST_WAIT * duration))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = -signal.SIGKILL
        if code == -signal.SIGKILL:
            kills, in_folder = kills + 1, in_folder + 1
            continue
        if code or not same(whole, folder):
            print(f"exit code {code} after {in_folder} kills of this folder; kept: {work}", flush=True)
            return 1
        folders += 1
        print(f"folder {folders}: the same files after {in_folder} kills; {kills} in all", flush=True)
        shutil.rmtree(folder)
        in_folder = 0
    if in_folder:
        if start(call, folder).wait() or not same(whole, folder):
            print(f"not the same files after {in_folder} kills of this folder; kept: {work}", flush=True)
            return 1
        folders += 1
    figures = {"kills": kills, "folders compared": folders, "files of a folder": len(whole), "differences": 0}
    if given.record:
        append("soak", figures)
    else:
        print(figures)
    shutil.rmtree(work)
    return 0


def kill_workers(call: list[str], folder: Path, choose: random.Random, longest: float, most: int) -> tuple[int, int]:
    """Kill workers of one run on a cluster at random moments; returns how many, and the exit code of the run."""
    process = start([*call, "--cluster", "auto"], folder)
    until_change(process, folder)
    killed: set[int] = set()
    while process.poll() is None:
        time.sleep(choose.uniform(0, longest))
        alive = workers_of(process.pid) - killed
        if alive and len(killed) < most:
            worker = choose.choice(sorted(alive))
            killed.add(worker)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
    return len(killed), process.wait()


def workers_of(run: int) -> set[int]:
    """The processes of workers that make shards, of a run that has started Ray."""
    parents, names = {}, {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(path.name)] = (path / "cmdline").read_bytes()

    def descends(process: int) -> bool:
        while process not in (0, run):
            process = parents.get(process, 0)
        return process == run

    return {process for process, name in names.items() if name.startswith(b"ray::Worker.make") and descends(process)}


def start(call: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A process of the run in a folder."""
    return subprocess.Popen([*call, "--outdir", str(folder)], stdout=subprocess.DEVNULL)


def until_change(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until something is made, renamed or removed in a folder, or the process ends."""
    before = changed(folder)
    while process.poll() is None and changed(folder) == before:
        time.sleep(_POLL)


def changed(folder: Path) -> int:
    """When a folder was changed last; 0 if it does not exist."""
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def hashes(folder: Path) -> dict[str, str]:
    """{name relative to the folder: hash} of all files."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def same(whole: dict[str, str], folder: Path) -> bool:
    """Whether a folder has exactly these files; prints the names of those that differ."""
    found = hashes(folder)
    different = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
    for name in different[:20]:
        state = "missing" if name not in found else "not of the run" if name not in whole else "other bytes"
        print(f"{name}: {state}", flush=True)
    return not different


if __name__ == "__main__":
    sys.exit(main())
