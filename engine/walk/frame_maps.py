"""The maps of the frames of a walk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from sgi.engine.api import Engine, NotFiniteError
from sgi.engine.seeds import latents
from sgi.engine.walk.path import Curve, arcs, key_frames, spline

W, Z = "w", "z"
Maps = dict[str, NDArray[np.float32]]


class FrameMaps:
    """The maps of the frames of a walk through seeds, computed by an engine in batches of its size.

    seeds: in the order of the walk. frames: number of them. types: None for those that are loaded. space: w, a cubic
    spline through the w+ of the seeds; z, arcs between their z. loop: whether frame number `frames` would be the first
    again. psi, class_index: as for `Engine`. key_frames: the frame of each seed.
    """

    def __init__(
        self,
        engine: Engine,
        seeds: Sequence[int],
        frames: int,
        types: Sequence[str] | None = None,
        space: str = W,
        loop: bool = False,
        psi: float | None = None,
        class_index: int | Mapping[int, float] | None = None,
    ) -> None:
        self._engine, self._types, self._space = engine, types, space
        self._psi, self._class_index = psi, class_index
        self.key_frames = key_frames(len(seeds), frames, loop)
        period = frames if loop else None
        self._curve: Curve
        if space == W:
            if class_index is not None:  # streams of w do not know of it
                classes = list(class_index) if isinstance(class_index, Mapping) else [class_index]
                engine.artifact.warn_of_class(types, classes)
            keys = engine.mapping(seeds=seeds, psi=psi, class_index=class_index)
            self._curve = spline(keys, self.key_frames, period)
        else:
            self._curve = arcs(latents(seeds, engine.artifact.z_dim), self.key_frames, period)
            self._stream(iter(()))  # raises before any file is made for a model that does not take z

    def of(self, numbers: NDArray[np.integer]) -> Iterator[Maps]:
        """Maps {type: [C, R, R] float32} of the frames `numbers` [N], in their order.

        Raises NotFiniteError, which names the frame, for a map with NaN or infinity.
        """
        size, last = self._engine.batch, len(numbers) - 1
        # Every batch has the same size: a new one makes some backends compile.
        rows = (np.minimum(np.arange(start, start + size), last) for start in range(0, len(numbers), size))
        batches = (self._curve(numbers[chosen]) for chosen in rows)
        start = 0
        try:
            for maps in self._stream(batches):
                for row in range(min(size, len(numbers) - start)):
                    yield {name: stack[row] for name, stack in maps.items()}
                start += size
        except NotFiniteError as error:
            number = numbers[min(start + error.row, last)]
            raise NotFiniteError(error.type, error.row, f"frame {number}") from None

    def _stream(self, batches: Iterator[NDArray[np.float32]]) -> Iterator[Maps]:
        if self._space == W:
            return self._engine.stream(ws=batches, types=self._types)
        return self._engine.stream(batches, psi=self._psi, class_index=self._class_index, types=self._types)
