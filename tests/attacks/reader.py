"""Attacks on copies of good files, read by a separate process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attacks.file_kinds import Kind
from attacks.generated import Change

MOST_SECONDS = 5.0
MOST_BYTES = 500 << 20


@dataclass(frozen=True)
class Answer:
    """What reading a file did; seconds of processor time, and bytes of memory over that of the process."""

    outcome: str
    seconds: float
    memory: int

    @property
    def defect(self) -> str | None:
        """Why this is a defect; None if it is none."""
        if self.outcome not in ("read", "refused"):
            return self.outcome
        if self.seconds > MOST_SECONDS:
            return f"{self.seconds:.1f} s"
        return f"{self.memory >> 20} MiB" if self.memory > MOST_BYTES else None


class ReaderProcess:
    """The process, which is started again when it ended; as a context it is ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.root = folder / "attacked"
        self._starts = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> ReaderProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def attack(self, name: str, kind: Kind, change: Change) -> Answer:
        """Change the file in a copy of its folder, and read it."""
        root = self.root
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(kind.good, root)
        change(root)
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps([name, str(root)]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._stop()
            return Answer(f"the process ended with code {process.returncode}", 0, 0)
        return Answer(*json.loads(line))

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._starts += 1
            folder = self._folder / f"process{self._starts}"
            program = [sys.executable, str(Path(__file__).with_name("reader_process.py")), str(folder)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
            self._process = subprocess.Popen(
                program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=environment, start_new_session=True,
            )  # fmt: skip
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == '"ready"\n', "the process did not start"
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait(timeout=90)
            self._process = None
