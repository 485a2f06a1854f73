"""OpenVINO on the CPU for many passes after one another: two passes at once, each on half of the cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from sgi.engine.backends.backend import inputs_of
from sgi.engine.backends.openvino import OpenVinoBackend
from sgi.engine.backends.streams import stream_count


class OpenVinoStreams(OpenVinoBackend):
    """OpenVINO with two streams; it is `Overlapping`.

    In one pass on all cores, threads wait for one another at each layer, and they wait actively: a thread that lost its
    core to one that encodes files takes the time of all. Two passes on half of the cores wait less. The maps have the
    same bits. See docs/experiments.md, "Streams beside encoding".
    """

    _model: Any

    def start(
        self,
        latent: np.ndarray,
        psi: float | None,
        label: np.ndarray | None = None,
        types: Sequence[str] | None = None,
    ) -> Callable[[], dict[str, np.ndarray]]:
        """See `Overlapping.start`; passes of other sizes or types than those it was opened with run at once."""
        chosen = self._types if types is None else self.artifact.choose_types(types)
        if len(latent) != self._batch or chosen != self._types:
            maps = self.run(latent, psi, label, types)
            return lambda: maps
        request = self._next_request()
        request.start_async(inputs_of(self.artifact, latent, psi, label))

        def wait() -> dict[str, np.ndarray]:
            request.wait()
            maps = {name: request.get_tensor(name).data.copy() for name in chosen}
            self._free.append(request)
            return maps

        return wait

    def close(self) -> None:
        """See `Backend.close`."""
        super().close()
        self._free.clear()
        self._model = None

    def _prepare(self) -> None:
        streams = stream_count(self.artifact, self._batch, self._threads)
        # Not pinned: several processes on one machine would have the same cores.
        settings = {**self._settings, "NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}
        del settings["PERFORMANCE_HINT"]
        self._model = self._compiled_model(self._types, self._batch, settings)
        self._free: deque[Any] = deque([self._model.create_infer_request()])

    def _next_request(self) -> Any:
        with suppress(IndexError):
            return self._free.pop()
        return self._model.create_infer_request()
