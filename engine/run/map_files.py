"""The files of a seed's maps: written, read again, and compared with what a manifest says of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.budget import LARGEST_MODEL, is_regular, read_bytes
from sgi.engine.codes import pixels_of
from sgi.engine.errors import UserError
from sgi.engine.files import sha256_file, write_atomically
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import LINES, Line
from sgi.engine.run.map_types import MapTypes
from sgi.engine.run.set_aside import move_aside
from sgi.engine.run.unreadable import UnreadableError
from sgi.engine.writers import CodedFormat, get_format


def read_map(decode: Callable[[Intrinsic, bytes], np.ndarray], kind: Intrinsic, file: Path) -> np.ndarray:
    """The map [C, H, W] float32 of a file; decode: of its format. Raises UnreadableError."""
    try:
        return decode(kind, read_bytes(file, LARGEST_MODEL, follow=False))
    except Exception as error:  # Pillow and plugins raise exceptions of many types for damaged files
        raise UnreadableError(file, error) from None


def read_maps(job: Job, types: MapTypes, place: int) -> dict[str, np.ndarray]:
    """The maps [C, R, R] float32 of the seed number `place` of a job's part; raises UnreadableError."""
    decode = get_format(job.record.file_format).decode
    files = job.files(job.part[place])
    return {name: read_map(decode, types.output(name), file) for name, file in files.items()}


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


def encode_maps(
    job: Job, artifact: Artifact, maps: Mapping[str, np.ndarray], as_codes: bool = False
) -> list[dict[str, bytes]]:
    """The bytes of the files of N seeds, {type: bytes} of each; maps: type -> maps [N, C, H, W] float32.

    as_codes: `maps` are codes [N, H, W, C], and the format is a `CodedFormat`.
    """
    form = get_format(job.record.file_format)
    files: list[list[bytes]] = []
    for name in job.record.types:
        kind, stack = artifact.output(name), maps[name]
        if isinstance(form, CodedFormat):
            files.append(form.encode_batch(kind, stack if as_codes else pixels_of(kind, stack)))
        else:
            files.append([form.encode(kind, value) for value in stack])
    return [dict(zip(job.record.types, row, strict=True)) for row in zip(*files, strict=True)]


class Written(NamedTuple):
    """A seed whose files exist: its line for the manifest, and new names of files that were in their place."""

    line: Line
    set_aside: list[Path]


def write_maps(job: Job, seed: int, encoded: Mapping[str, bytes]) -> Written:
    """Write the files of a seed, {type: bytes}, into folders that exist.

    A file that has the same bytes already is not written again. A file with other bytes, which another program wrote
    or which is damaged, is renamed.
    """
    line = LINES[job.record.item](seed, job.record.file_names(seed), {}, {})
    set_aside = []
    for name, path in job.files(seed).items():
        data = encoded[name]
        line.bytes[name] = len(data)
        line.sha256[name] = hashlib.sha256(data).hexdigest()
        if os.path.lexists(path):
            if is_regular(path) and path.lstat().st_size == len(data) and path.read_bytes() == data:
                continue
            set_aside.append(move_aside(path))
        write_atomically(path, data)
    return Written(line, set_aside)


def make_folder(job: Job, folder: Path) -> Path | None:
    """Make a subfolder of the maps of seeds; returns the new name of what was in its place and is no folder."""
    is_folder = folder.is_dir() and not folder.is_symlink()
    kept = None
    if folder != job.outdir and os.path.lexists(folder) and not is_folder:
        kept = move_aside(folder)
    folder.mkdir(exist_ok=True)
    return kept
