"""Folders of frames: `frame000000.png` and so on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.writers.png import encode_png

DIGITS = 6
_NAME = re.compile(r"frame(\d{6,})\.png")


def frame_path(folder: Path, number: int) -> Path:
    """Path of the file of a frame."""
    return folder / f"frame{number:0{DIGITS}d}.png"


def check_folder(folder: Path, frames: int) -> None:
    """Raise UserError if a folder has frames that a walk of this length would not replace."""
    found = [int(match[1]) for path in folder.glob("frame*.png") if (match := _NAME.fullmatch(path.name))]
    if found and max(found) >= frames:
        raise UserError(
            f"`out={folder}`: it has {frame_path(folder, max(found)).name} of a longer walk; remove its frames or "
            "choose another folder"
        )


@contextmanager
def folder_writer(folder: Path) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """A context with a function that writes the next frame [H, W, 3] uint8 as a PNG file; makes the folder.

    After an error the frames before it remain. Raises UserError where a frame cannot be written.
    """
    count = 0

    def append(pixels: NDArray[np.uint8]) -> None:
        nonlocal count
        data = encode_png(pixels)
        with _writing(folder), atomic_write(frame_path(folder, count)) as temporary:
            temporary.write_bytes(data)
        count += 1

    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    yield append


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"`out={folder}`: cannot be written ({error.strerror}); free space or choose another place"
        ) from None
