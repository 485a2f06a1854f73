"""The maps of a seed, read from the files or the shard of a folder."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sgi.engine.run import map_files, shard_files
from sgi.engine.run.job import Job
from sgi.engine.run.map_types import MapTypes
from sgi.engine.run.unreadable import UnreadableError


class Found(NamedTuple):
    """What the files of a seed contain: each type is in one of the two.

    maps: {type: [C, R, R] float32}. damaged: {type: reason} of what is missing or damaged.
    """

    maps: dict[str, NDArray[np.float32]]
    damaged: dict[str, str]


def read_maps(job: Job, types: MapTypes, place: int) -> dict[str, NDArray[np.float32]]:
    """The maps [C, R, R] float32 of the seed number `place` of a job's part.

    Raises UnreadableError for a file or shard that is missing or damaged.
    """
    read = shard_files.read_maps if job.record.shard_format else map_files.read_maps
    return read(job, types, place)


def read_each(job: Job, types: MapTypes, place: int) -> Found:
    """The maps of the seed number `place` of a job's part that can be read, and the reasons for the others."""
    found = Found({}, {})
    try:
        found.maps.update(read_maps(job, types, place))
    except UnreadableError:
        for name in job.record.types:
            one = replace(job, record=replace(job.record, types=(name,)))
            try:
                found.maps.update(read_maps(one, types, place))
            except UnreadableError as error:
                found.damaged[name] = error.reason
    for name, values in list(found.maps.items()):
        shape = (types.output(name).channels, types.resolution, types.resolution)
        if values.shape != shape:
            found.damaged[name] = f"it has the shape {list(values.shape)}, not {list(shape)}"
            del found.maps[name]
        elif not np.isfinite(values).all():
            found.damaged[name] = "damaged (it contains values that are not finite)"
            del found.maps[name]
    return found
