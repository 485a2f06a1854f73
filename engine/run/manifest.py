"""The two records of an output folder: run.json, what made it, and manifest.jsonl, one line for each finished seed.

A line is appended when all files of a seed are there, and the file is put into seed order by rename at the end, so a
run that was killed and continued ends with the same bytes as one that was not. A kill can cut the last line or lose
it; the files themselves say what is finished, and a lost line is written anew from them.
"""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write

RUN_FILE = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """What decides the contents of an output folder, and so what a continued run must share with it."""

    model_sha256: str
    types: tuple[str, ...]
    psi: float
    class_index: int | None
    file_format: str
    digits: int
    precision: str | None = None


# Field -> what a user calls it.
_SETTINGS = {
    "model_sha256": "--model",
    "types": "--type",
    "psi": "--trunc",
    "class_index": "--class",
    "file_format": "--format",
    "precision": "--precision",
}


def claim_folder(outdir: Path, record: RunRecord) -> RunRecord:
    """Mark a folder as made by `record`, or find it made by the same settings before; gives the record in force.

    The record in force is the folder's: its names may be padded to more digits than the seeds of this run need.
    Raises UserError for a folder of other settings or of narrower names.
    """
    path = outdir / RUN_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT, **asdict(record)}, indent=2) + "\n", encoding="utf-8")
        return record
    except ValueError:
        found = None
    asked = json.loads(json.dumps(asdict(record)))
    if not isinstance(found, dict) or found.get("format") != FORMAT or not set(asked) <= set(found):
        raise UserError(f"--outdir {outdir}: its {RUN_FILE} is not one this version wrote; choose another --outdir")
    different = [flag for name, flag in _SETTINGS.items() if found[name] != asked[name]]
    if different:
        raise UserError(
            f"--outdir {outdir}: it holds maps made with another {', '.join(different)}; choose another --outdir"
        )
    if found["digits"] < record.digits:
        raise UserError(
            f"--outdir {outdir}: its files have {found['digits']}-digit seeds and these need {record.digits}; "
            "choose another --outdir"
        )
    return RunRecord(**{**asdict(record), "digits": found["digits"]})


class Manifest:
    """The lines of finished seeds, open for appending by one run at a time.

    Holds the place of each line, not its text, so that a folder of millions of seeds fits in memory.
    Raises UserError if another run has the file open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[int, int] = {}  # seed -> index into the arrays below
        self._starts = array("Q")
        self._lengths = array("Q")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._file, path)
            self._end = self._read()
            os.ftruncate(self._file, self._end)  # a torn last line
        except BaseException:
            os.close(self._file)
            raise

    def __contains__(self, seed: int) -> bool:
        return seed in self._places

    def append(self, seed: int, files: Mapping[str, str], sha256: Mapping[str, str]) -> None:
        """Record a finished seed: {type: file name} and {type: hash of the file}."""
        entry = {"seed": seed, "files": dict(files), "sha256": dict(sha256)}
        line = (json.dumps(entry, separators=(",", ":")) + "\n").encode()
        try:
            written = 0
            while written < len(line):
                written += os.pwrite(self._file, line[written:], self._end + written)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._note(seed, self._end, len(line))
        self._end += len(line)

    def sort(self) -> None:
        """Put the lines into seed order, one for each seed, by rename; a file in order is left alone."""
        seeds = sorted(self._places)
        order = [self._places[seed] for seed in seeds]
        in_order = all(place == position for position, place in enumerate(order))
        if in_order and sum(self._lengths) == self._end:
            return
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for place in order:
                file.write(os.pread(self._file, self._lengths[place], self._starts[place]))

    def close(self) -> None:
        """Let another run have the file."""
        os.close(self._file)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> int:
        """Index the whole lines; gives the position after the last of them."""
        position = 0
        with os.fdopen(os.dup(self._file), "rb") as file:
            file.seek(0)
            for line in file:
                with suppress(ValueError, TypeError, KeyError):
                    if line.endswith(b"\n"):
                        self._note(int(json.loads(line)["seed"]), position, len(line))
                if not line.endswith(b"\n"):
                    break
                position += len(line)
        return position

    def _note(self, seed: int, start: int, length: int) -> None:
        self._places[seed] = len(self._starts)
        self._starts.append(start)
        self._lengths.append(length)


def _lock(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            f"--outdir {path.parent}: another run is writing there; wait for it, or choose another --outdir"
        ) from None
    except OSError:  # a file system without locks
        return
