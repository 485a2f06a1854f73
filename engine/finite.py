"""Maps with values that are not finite."""

from __future__ import annotations

import numpy as np

from sgi.engine.errors import UserError


class NotFiniteError(UserError):
    """A map contains NaN or infinity. type: of the map; row: of the pass."""

    def __init__(self, type: str, row: int, what: str = "") -> None:
        super().__init__(
            f"the {type} map of {what or f'row {row}'} contains values that are not finite: "
            "the model file is damaged, or its precision too low; copy or export it again"
        )
        self.type, self.row = type, row


def check_finite(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The maps, {type: [N, C, R, R] float32}; raises NotFiniteError where a value is not finite."""
    for name, stack in maps.items():
        # One sum reads memory once and makes no array; it is not finite where any value is not.
        if not np.isfinite(stack.sum()):
            rows = np.flatnonzero(~np.isfinite(stack).all(axis=(1, 2, 3)))
            if len(rows):
                raise NotFiniteError(name, int(rows[0]))
    return maps
