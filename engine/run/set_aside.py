"""Renaming of files that are in the place of a run's files and are not of the run. Nothing is removed or followed."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from sgi.engine.budget import is_regular
from sgi.engine.run.manifest import MANIFEST, METADATA, SHARD_MANIFEST
from sgi.engine.run.run_file import RUN_FILE

SET_ASIDE = ".set-aside"
"""Suffix of a file that had the name of a run's file and was not one."""


def set_special_aside(outdir: Path) -> list[Path]:
    """Rename the records of a folder that are no regular files, such as symbolic links and pipes; returns new names.

    They are never followed: another program put them there, and writing through them would change other files.
    """
    names = [RUN_FILE, MANIFEST, METADATA]
    with suppress(FileNotFoundError, NotADirectoryError):
        names += [name for name in os.listdir(outdir) if SHARD_MANIFEST.fullmatch(name)]
    paths = [outdir / name for name in names]
    return [move_aside(path) for path in paths if os.path.lexists(path) and not is_regular(path)]


def original_name(path: Path) -> str:
    """The name that a file had before it was set aside."""
    return path.name.partition(SET_ASIDE)[0]


def move_aside(path: Path) -> Path:
    """Rename a file to a free name; returns the name."""
    free = _free_name(path)
    os.rename(path, free)
    return free


def copy_aside(path: Path) -> Path:
    """Copy a file to a free name; returns the name."""
    free = _free_name(path)
    shutil.copyfile(path, free, follow_symlinks=False)
    return free


def _free_name(path: Path) -> Path:
    number = 1
    while os.path.lexists(free := path.with_name(f"{path.name}{SET_ASIDE}{'' if number == 1 else f'-{number}'}")):
        number += 1
    return free
