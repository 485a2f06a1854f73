"""The two records of an output folder: run.json, its settings, and manifest.jsonl, one line for each finished seed.

A line is appended when all files of a seed exist. At the end the file is sorted by seed and replaced by a rename, so a
run that was killed and continued writes the same bytes as an uninterrupted one. A kill can truncate or lose the last
line. The map files decide which seeds are finished, and a lost line is computed from them again.
"""

from __future__ import annotations

import fcntl
import json
import os
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType

import msgspec

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write

RUN_FILE = "run.json"
FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """The settings that determine the files of an output folder; a continued run must have the same.

    model_sha256: hash of the model file. types: types that are written, in the model's order. psi: truncation.
    class_index: class of all images, None for a model without classes. file_format: a name of `writers.FORMATS`.
    digits: decimal digits of the seed in file names. precision: bf16, or None for the model's own.
    """

    model_sha256: str
    types: tuple[str, ...]
    psi: float
    class_index: int | None
    file_format: str
    digits: int
    precision: str | None = None


class _RunFile(msgspec.Struct):
    format: int


# Field of RunRecord -> parameter that sets it.
_PARAMETERS = {
    "model_sha256": "model",
    "types": "types",
    "psi": "psi",
    "class_index": "class_index",
    "file_format": "file_format",
    "precision": "precision",
}


def claim_folder(outdir: Path, record: RunRecord) -> RunRecord:
    """Write run.json into a new folder, or compare that of a started one with `record`.

    Returns the record of the folder. It differs from `record` in `digits` alone: file names of a started folder can be
    padded to more digits than the seeds of this run need.
    Raises UserError for a folder with other settings or with fewer digits.
    """
    path = outdir / RUN_FILE
    try:
        found = _read_record(path)
    except FileNotFoundError:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT, **asdict(record)}, indent=2) + "\n", encoding="utf-8")
        return record
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"`outdir={outdir}`: its {RUN_FILE} was not written by this version ({error}); choose another `outdir`"
        ) from None
    different = [f"`{to}`" for name, to in _PARAMETERS.items() if getattr(found, name) != getattr(record, name)]
    if different:
        raise UserError(
            f"`outdir={outdir}`: it contains maps of another {', '.join(different)}; choose another `outdir`"
        )
    if found.digits < record.digits:
        raise UserError(
            f"`outdir={outdir}`: its file names have {found.digits} digits for the seed and these seeds need "
            f"{record.digits}; choose another `outdir`"
        )
    return replace(record, digits=found.digits)


def _read_record(path: Path) -> RunRecord:
    """The record in a run.json; raises ValueError for another format and for missing and wrong fields."""
    data = path.read_bytes()
    version = msgspec.json.decode(data, type=_RunFile).format
    if version != FORMAT:
        raise ValueError(f"format {version}")
    return msgspec.json.decode(data, type=RunRecord)


class Manifest:
    """The lines of the finished seeds of a folder, open for appending by one run at a time.

    Keeps the position of each line in memory, not its text: 24 bytes and a dict entry for each seed.
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
            os.ftruncate(self._file, self._end)  # removes a truncated last line
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
        """Sort the lines by seed and drop duplicates; a file in order is not written again."""
        seeds = sorted(self._places)
        order = [self._places[seed] for seed in seeds]
        in_order = all(place == position for position, place in enumerate(order))
        if in_order and sum(self._lengths) == self._end:
            return
        with atomic_write(self.path) as temporary, open(temporary, "wb") as file:
            for place in order:
                file.write(os.pread(self._file, self._lengths[place], self._starts[place]))

    def close(self) -> None:
        """Close the file, so that another run can open it."""
        os.close(self._file)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> int:
        """Read the positions of the complete lines; returns the position after the last of them."""
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
            f"`outdir={path.parent}`: another run is writing there; wait for it, or choose another `outdir`"
        ) from None
    except OSError:  # a file system without locks
        return
