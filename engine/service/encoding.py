"""Bodies of responses: one map as PNG, one type as .npy, several types as .npz."""

from __future__ import annotations

import io

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.writers import get_format

MEDIA_TYPES = {"png": "image/png", "npy": "application/x-npy", "npz": "application/x-npz"}


def choose_format(name: str | None, seeds: int, types: int) -> str:
    """The format of a response: the one asked for, else npy for one type and npz for several.

    Raises UserError for an unknown format and for one that cannot hold so many maps.
    """
    chosen = ("npy" if types == 1 else "npz") if name is None else name
    if chosen not in MEDIA_TYPES:
        raise UserError(f"`format={chosen}`: choose from {', '.join(MEDIA_TYPES)}")
    if chosen == "png" and (seeds, types) != (1, 1):
        raise UserError(f"`format=png`: contains one map, not {seeds * types}; use npz")
    if chosen == "npy" and types != 1:
        raise UserError(f"`format=npy`: contains one type, not {types}; use npz")
    return chosen


def encode_maps(artifact: Artifact, maps: dict[str, np.ndarray], file_format: str) -> bytes:
    """The body of a response.

    maps: {type: [N, C, R, R] float32}. png: the first map, as `sgi-engine run` writes it. npy: the stack
    [N, C, R, R] float32 of the one type. npz: one such stack for each type, by name, not compressed.
    """
    if file_format == "png":
        ((name, stack),) = maps.items()
        return get_format("png").encode(artifact.output(name), stack[0])
    file = io.BytesIO()
    if file_format == "npy":
        np.save(file, next(iter(maps.values())), allow_pickle=False)
    else:
        np.savez(file, allow_pickle=False, **maps)
    return file.getvalue()
