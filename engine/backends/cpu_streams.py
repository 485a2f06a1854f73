"""The C++ library for many passes after one another: two passes at once, each on half of the cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends.cpu import CpuBackend
from sgi.engine.backends.streams import stream_count


class CpuStreams(CpuBackend):
    """The C++ library with two streams; it is `Overlapping`.

    In one pass on all cores, threads wait for one another at each layer, also for one that lost its core to a thread
    that encodes files. The maps have the same bits. See docs/experiments.md, "Streams beside encoding".
    """

    ahead = 2  # a third pass waits, so that a stream is not idle while the maps of its last pass are checked

    def __init__(
        self, path: Path, artifact: Artifact, *, batch: int, threads: int | None = None, **options: Any
    ) -> None:
        self._streams = stream_count(artifact, batch, threads)
        super().__init__(path, artifact, batch=batch, threads=threads, **options)
        self._callers = ThreadPoolExecutor(self._streams, "sgi-pass")

    def start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """See `Overlapping.start`."""
        return self._callers.submit(self.run, latent, psi, label, types).result

    def close(self) -> None:
        """See `Backend.close`."""
        self._callers.shutdown(cancel_futures=True)
        super().close()
