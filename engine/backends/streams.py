"""How many passes of a run are computed at the same time on a CPU."""

from __future__ import annotations

from sgi.engine.artifact import Artifact
from sgi.engine.cores import available_cores

_STREAMS = 2
_MOST_PIXELS = 8 * 512 * 512
"""Pixels of the maps of a type in a pass, up to which two passes run at once. Each pass needs memory of its own, and
where it takes seconds, threads wait little for one another."""


def stream_count(artifact: Artifact, batch: int, threads: int | None) -> int:
    """Passes at once for a run of many: 2, each on half of the threads, where passes are small; otherwise 1."""
    is_small = batch * artifact.resolution**2 <= _MOST_PIXELS
    return _STREAMS if is_small and (threads or available_cores()) > 1 else 1
