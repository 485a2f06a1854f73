"""Run a shard loop in child processes and kill each at another call that changes the disk.

    python tests/kill_points.py FORMAT OUTDIR

The parent has no threads, so that it can fork. It prints the number of places where a child was killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from counting_backend import Fake

from sgi.engine.api import Engine
from sgi.engine.run import pipeline, shard_loop
from sgi.engine.run.job import Job
from sgi.engine.run.pipeline import Outcome
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import parse_seeds

CALLS = ("fsync", "rename", "replace", "pwrite", "unlink", "rmdir", "mkdir", "ftruncate")
RANDOM_KILLS = 8


def write(file_format: str, outdir: Path, text: str = "0-9") -> None:
    """Ten seeds in shards of four."""
    record = RunRecord(
        "a" * 64, ("image", "depth"), 0.7, None, file_format, 6, "fake", "cpu", None, 0, None, 4, None, None, None,
        None, 4, "float32", "none",
    )  # fmt: skip
    job = Job(outdir, parse_seeds(text), record)
    pipeline.prepare(job, {})
    shard_loop.run(Engine(Fake(), 3), job, Outcome())


def killed_at(number: int, run: Callable[[], None]) -> bool:
    """Whether a child that is killed before that call of `CALLS` got so far."""
    child = os.fork()
    if not child:
        count = 0

        def counted(call: Callable[..., Any]) -> Callable[..., Any]:
            def called(*arguments: Any, **options: Any) -> Any:
                nonlocal count
                if count == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1
                return call(*arguments, **options)

            return called

        for name in CALLS:
            setattr(os, name, counted(getattr(os, name)))
        run()
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def killed_after(seconds: float, run: Callable[[], None]) -> None:
    """Kill a child after some time, wherever it is."""
    child = os.fork()
    if not child:
        run()
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main(file_format: str, outdir: str) -> None:
    """Kill a run at every place, finish it, and compare the folders with that of an uninterrupted run.

    Then kill runs of one folder at random moments. At first the folder has the shards of a run of fewer seeds already,
    the last of which is replaced.
    """
    folder, whole, begun = Path(outdir) / "cut", Path(outdir) / "whole", Path(outdir) / "begun"
    write(file_format, begun, "0-5")
    began = time.perf_counter()
    write(file_format, whole)
    seconds = time.perf_counter() - began
    number = 0
    while True:
        shutil.copytree(begun, folder)
        if not killed_at(number, lambda: write(file_format, folder)):
            break
        write(file_format, folder)
        assert contents(folder) == contents(whole), f"killed at call {number}"
        shutil.rmtree(folder)
        number += 1
    shutil.rmtree(folder)
    moments = Random(1)
    for _ in range(RANDOM_KILLS):
        killed_after(moments.uniform(0, seconds), lambda: write(file_format, folder))
    write(file_format, folder)
    assert contents(folder) == contents(whole), "killed at random moments"
    print(number)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder by name, without what a kill during the writing of run.json left."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".run.part-")
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
