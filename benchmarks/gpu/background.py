"""Processes beside the measurements: compilation by running cases once, and torch.compile cases measured in turn."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import measurements

COMPILE_SECONDS = 150.0


class Processes:
    """Started commands without output. niceness: of the processes, 0 for those that the script waits for first."""

    def __init__(self, commands: list[list[str]], niceness: int) -> None:
        self._running = [
            subprocess.Popen(
                ["nice", "-n", str(niceness), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for command in commands
        ]

    def wait(self, seconds: float) -> None:
        """Wait for all of them, together at most `seconds`, then stop the rest."""
        end = time.monotonic() + seconds
        for process in self._running:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def stop(self) -> None:
        """Stop those that still run."""
        for process in self._running:
            process.kill()
            process.wait()


def answer(make: Callable[[], Callable[[], object]], size: Any, batch: int, mode: str, device: str) -> None:
    """Compile and run a case once, print "ready", and measure it when a line arrives on stdin; prints the row."""
    run = make()
    for _ in range(3):  # compilation, recording of the CUDA graph, replay
        run()
    print("ready", flush=True)
    sys.stdin.readline()
    name = "torch.compile" if mode == "reduce-overhead" else f"torch.compile, {mode}"
    print(json.dumps(measurements.network(name, lambda *_: run, size, batch, device)), flush=True)


def in_turn(
    command: Callable[[list[str]], list[str]], cases: list[list[str]], seconds: float = COMPILE_SECONDS
) -> Iterator[Any]:
    """The rows of `answer` for each case: all compile at once, in processes of their own, and are measured in turn.

    seconds: limit of all together. Raises RuntimeError after the rows of the others for those without a row.
    """
    missing = []
    # Each process compiles in processes of its own.
    threads = max(1, (os.cpu_count() or 1) // len(cases))
    environment = {"TORCHINDUCTOR_COMPILE_THREADS": str(threads), **os.environ}
    with tempfile.TemporaryDirectory() as folder:
        errors = [Path(folder) / str(i) for i in range(len(cases))]
        processes = []
        for case, error in zip(cases, errors, strict=True):
            with error.open("w") as file:
                pipe = subprocess.PIPE
                processes.append(
                    subprocess.Popen(command(case), stdin=pipe, stdout=pipe, stderr=file, text=True, env=environment)
                )
        timer = threading.Timer(seconds, _kill, (processes,))
        timer.start()
        try:
            # All are ready before the first is measured, so that no compilation disturbs a measurement.
            for process in processes:
                _line(process, "ready")
            for case, process, error in zip(cases, processes, errors, strict=True):
                try:
                    assert process.stdin is not None
                    process.stdin.write("go\n")
                    process.stdin.flush()
                    yield json.loads(_line(process, "{"))
                except (OSError, ValueError):
                    lines = error.read_text().strip().splitlines()
                    missing.append(f"{' '.join(case)}: {lines[-1][:200] if lines else 'no time left'}")
        finally:
            timer.cancel()
            _kill(processes)
            for process in processes:
                process.wait()
    if missing:
        raise RuntimeError("; ".join(missing))


def _kill(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        process.kill()


def _line(process: subprocess.Popen[str], start: str) -> str:
    """The next line of the output that begins with `start`; an empty text at its end."""
    assert process.stdout is not None
    return next((line for line in process.stdout if line.startswith(start)), "")
