"""The files of a seed's maps: written, read again, and compared with what a manifest says of them."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.budget import LARGEST_MODEL, is_regular, read_bytes
from sgi.engine.errors import UserError, one_line
from sgi.engine.files import atomic_write, sha256_file
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import LINES, Line
from sgi.engine.run.set_aside import move_aside
from sgi.engine.writers import CodedFormat, get_format


def read_map(decode: Callable[[Intrinsic, bytes], np.ndarray], kind: Intrinsic, file: Path) -> np.ndarray:
    """The map [C, H, W] float32 of a file; decode: of its format. Raises UserError for a missing or damaged file."""
    try:
        return decode(kind, read_bytes(file, LARGEST_MODEL, follow=False))
    except Exception as error:  # Pillow and plugins raise exceptions of many types for damaged files
        raise UserError(
            f"{file}: damaged ({one_line(str(error), 80)}); run again with `verify=True`, which writes it again"
        ) from None


def read_maps(job: Job, artifact: Artifact, place: int) -> dict[str, np.ndarray]:
    """The maps [C, R, R] float32 of the seed number `place` of a job's part; raises UserError as `read_map` does."""
    decode = get_format(job.record.file_format).decode
    files = job.files(job.part[place])
    return {name: read_map(decode, artifact.output(name), file) for name, file in files.items()}


def are_maps(job: Job, artifact: Artifact, seed: int) -> bool:
    """Whether the files of a seed are maps of the model; False if one is missing."""
    decode = get_format(job.record.file_format).decode
    for name, path in job.files(seed).items():
        if not is_regular(path):
            return False
        try:
            found = read_map(decode, artifact.output(name), path)
        except UserError:
            return False
        if found.shape != (artifact.output(name).channels, artifact.resolution, artifact.resolution):
            return False
    return True


def is_intact(job: Job, line: Line, verify: bool) -> bool:
    """Whether the files of a line exist with their names and sizes, and, with `verify`, their hashes."""
    files = job.files(line.seed)
    if line.files != job.record.file_names(line.seed):
        return False
    try:
        return all(
            is_regular(path)
            and path.lstat().st_size == line.bytes.get(name)
            and not path.parent.is_symlink()
            and (not verify or sha256_file(path) == line.sha256.get(name))
            for name, path in files.items()
        )
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Written:
    """A seed whose files exist: its line for the manifest, and new names of files that were in their place.

    encode, write: seconds of the stages.
    """

    line: Line
    set_aside: list[Path]
    encode: float = 0.0
    write: float = 0.0


def write_maps(
    job: Job, artifact: Artifact, seed: int, values: dict[str, np.ndarray], as_codes: bool = False
) -> Written:
    """Encode and write the maps of a seed into folders that exist; values: type -> map [C, H, W] float32.

    as_codes: `values` are codes [H, W, C], and the format is a `CodedFormat`.

    A file that has the same bytes already is not written again. A file with other bytes, which another program wrote
    or which is damaged, is renamed.
    """
    file_format = get_format(job.record.file_format)
    encode = file_format.encode_codes if as_codes and isinstance(file_format, CodedFormat) else file_format.encode
    line = LINES[job.record.item](seed, job.record.file_names(seed), {}, {})
    set_aside = []
    began = time.perf_counter()
    encoded = {name: encode(artifact.output(name), values[name]) for name in line.files}
    done = time.perf_counter()
    for name, path in job.files(seed).items():
        data = encoded[name]
        line.bytes[name] = len(data)
        line.sha256[name] = hashlib.sha256(data).hexdigest()
        if os.path.lexists(path):
            if is_regular(path) and path.lstat().st_size == len(data) and path.read_bytes() == data:
                continue
            set_aside.append(move_aside(path))
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
    return Written(line, set_aside, done - began, time.perf_counter() - done)
