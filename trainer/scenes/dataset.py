"""Sets of rendered rooms on disk, as uint8 codes.

A folder contains one .npy file per type and header.json. Each block of rooms has its own seed, derived from
(seed, block). A stopped rendering therefore continues with the same result, and a larger set begins with the smaller
one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from sgi.engine.budget import npy_header, open_regular, parse_json, read_bytes
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.progress import SILENT, Progress
from sgi.trainer.scenes.maps import TYPES, Maps
from sgi.trainer.scenes.render import render
from sgi.trainer.scenes.rooms import CLASSES, Rooms
from sgi.trainer.scenes.sampling import sample_rooms
from sgi.trainer.scenes.variety import RICH, Variety, get_variety

# Increase it with every change of the rooms of a seed. Folders of another version are refused.
WORLD = 2
BLOCK = 256
CHANNELS: dict[str, int] = {"image": 3, "depth": 1, "normal": 3, "albedo": 3, "shading": 1}
HEADER = "header.json"
SEGMENTATION = "segmentation"

Indices = Sequence[int] | np.ndarray | Tensor | slice


class RoomDataset:
    """A finished set of rooms in a folder, memory-mapped; several threads and processes can read it at once."""

    def __init__(self, path: str | os.PathLike[str], count: int | None = None) -> None:
        """Open the folder, or its first `count` rooms; raises UserError if it is missing or they are unfinished."""
        self.path = Path(path)
        header = _read_header(self.path)
        if header is None or header["finished"] < (count or header["count"]):
            raise UserError(f"{self.path}: not a finished set of rooms; render it with load_or_render")
        arrays = _open(self.path, header["count"], header["size"], "r")
        self._count: int = count or header["count"]
        self.size: int = header["size"]
        self.seed: int = header["seed"]
        self._arrays = {name: arrays[name] for name in (*TYPES, SEGMENTATION)}

    def __len__(self) -> int:
        return self._count

    def images(self, indices: Indices) -> Tensor:
        """sRGB images [N, 3, S, S] float32 in [0, 1]."""
        return self.codes("image", indices)

    def codes(self, name: str, indices: Indices) -> Tensor:
        """Display codes [N, C, S, S] float32 in [0, 1] of one of TYPES, in steps of 1/255."""
        if name not in TYPES:
            raise UserError(f"`name={name}`: rooms have no such type; choose from {', '.join(TYPES)}")
        return self._read(name, indices).float().div_(255.0)

    def segmentation(self, indices: Indices) -> Tensor:
        """Class ids [N, S, S] uint8, indices into CLASSES."""
        return self._read(SEGMENTATION, indices)

    def _read(self, name: str, indices: Indices) -> Tensor:
        if isinstance(indices, Tensor):
            indices = indices.cpu().numpy()
        rows = indices if isinstance(indices, slice) else np.asarray(indices, dtype=np.int64)
        return torch.from_numpy(np.array(self._arrays[name][: self._count][rows]))


def block_rooms(seed: int, block: int, device: torch.device | str = "cpu", variety: Variety = RICH) -> Rooms:
    """The BLOCK rooms of one block of a set. They depend only on (seed, block) and the variety."""
    state = np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)
    return sample_rooms(BLOCK, torch.Generator().manual_seed(int(state[0] >> np.uint64(1))), device, variety)


def load_or_render(
    path: str | os.PathLike[str],
    count: int,
    size: int,
    seed: int,
    device: torch.device | str = "cpu",
    variety: Variety = RICH,
    progress: Progress = SILENT,
    workers: int = 0,
) -> RoomDataset:
    """Open the set of `count` rooms of `size` x `size` pixels in the folder `path`; render what is missing.

    The set takes 12 * size^2 bytes per room. A stopped rendering continues at the first unfinished block, with the same
    result. The folder may contain a larger set, whose first `count` rooms are used. workers: processes that render on
    one CPU thread each; 0 renders on `device` in this process. Raises UserError if the folder contains another set.
    """
    for parameter, value, least in (("count", count, 1), ("size", size, 1), ("seed", seed, 0), ("workers", workers, 0)):
        if value < least:
            raise UserError(f"`{parameter}={value}`: must be at least {least}")
    folder = Path(path)
    wanted: dict[str, Any] = {
        "world": WORLD,
        "variety": variety.name,
        "count": count,
        "size": size,
        "seed": seed,
        "classes": list(CLASSES),
    }
    header = _read_header(folder)
    if header is not None:
        if header["count"] > count:
            wanted["count"] = header["count"]
        for key, expected in wanted.items():
            if header.get(key) != expected:
                raise UserError(
                    f"{folder}: contains rooms of another {key} ({header.get(key)}, not {expected}); "
                    "delete it or choose another folder"
                )
    finished = 0 if header is None else header["finished"]
    if finished < count:
        _render_missing(folder, wanted, finished, count, header is None, device, progress, workers)
    return RoomDataset(folder, count)


def _render_missing(
    folder: Path,
    wanted: dict[str, Any],
    finished: int,
    until: int,
    new: bool,
    device: torch.device | str,
    progress: Progress,
    workers: int,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        _create(folder, wanted["count"], wanted["size"])
    blocks = range(finished // BLOCK, -(-until // BLOCK))
    with progress.stage("rooms", until - finished, "rooms") as stage, ExitStack() as stack:
        render_one = partial(_render_block, folder, wanted, device=str(device if not workers else "cpu"))
        if workers:
            # Not forked: torch's threads do not survive a fork.
            pool = stack.enter_context(get_context("spawn").Pool(workers, torch.set_num_threads, (1,)))
            ends: Iterable[int] = pool.imap(render_one, blocks)
        else:
            ends = map(render_one, blocks)
        # In the order of the blocks. The header is written after the data, so it never counts a block not on disk.
        for stop in ends:
            _write_header(folder, wanted | {"finished": stop})
            stage.advance(min(stop, until) - finished)
            finished = stop


def _render_block(folder: Path, wanted: dict[str, Any], block: int, device: str) -> int:
    """Render one block into the files of the set; returns the number of the room after it."""
    start, stop = block * BLOCK, min(wanted["count"], (block + 1) * BLOCK)
    rooms = block_rooms(wanted["seed"], block, device, get_variety(wanted["variety"]))
    maps = render(rooms[: stop - start], wanted["size"])
    for name, array in _open(folder, wanted["count"], wanted["size"], "r+").items():
        array[start:stop] = _quantised(maps, name)
        array.flush()
    return stop


def _quantised(maps: Maps, name: str) -> np.ndarray:
    if name == SEGMENTATION:
        return maps.segmentation.cpu().numpy()
    return maps.codes(name).mul(255.0).round().to(torch.uint8).cpu().numpy()


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _create(folder: Path, count: int, size: int) -> None:
    for name, shape in _shapes(count, size).items():
        np.lib.format.open_memmap(_file(folder, name), mode="w+", dtype=np.uint8, shape=shape)


def _shapes(count: int, size: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {name: (count, channels, size, size) for name, channels in CHANNELS.items()}
    return shapes | {SEGMENTATION: (count, size, size)}


def _open(folder: Path, count: int, size: int, mode: Literal["r", "r+"]) -> dict[str, np.memmap]:
    """The arrays of a folder; raises UserError for a missing or damaged file."""
    arrays = {}
    for name, shape in _shapes(count, size).items():
        file = _file(folder, name)
        try:
            with open_regular(file) as opened:
                found, _, dtype = npy_header(opened)
            if found != shape or dtype != np.uint8:
                raise ValueError(f"not the rooms of its {HEADER}")
            arrays[name] = np.lib.format.open_memmap(file, mode=mode)
        except (OSError, ValueError) as error:
            raise UserError(f"{file}: damaged ({error}); delete the folder, and render the rooms again") from None
    return arrays


class _Header(msgspec.Struct):
    world: int
    variety: str
    count: Annotated[int, msgspec.Meta(ge=1)]
    size: Annotated[int, msgspec.Meta(ge=1)]
    seed: Annotated[int, msgspec.Meta(ge=0)]
    classes: list[str]
    finished: Annotated[int, msgspec.Meta(ge=0)]


def _read_header(folder: Path) -> dict[str, Any] | None:
    file = folder / HEADER
    if not file.exists():
        return None
    try:
        return msgspec.structs.asdict(msgspec.convert(parse_json(read_bytes(file)), _Header))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: damaged ({error}); delete the folder, and render the rooms again") from None


def _write_header(folder: Path, header: dict) -> None:
    with atomic_write(folder / HEADER) as temporary:
        temporary.write_text(json.dumps(header, indent=1))
