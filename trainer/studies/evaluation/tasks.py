"""The rows of an evaluation, and the tasks that fit and score them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sgi.engine.intrinsics import IMAGE, MAP_TYPES
from sgi.trainer.studies.evaluation.controls import CONTROLS
from sgi.trainer.studies.w_rows import first_row_of_side

Role = Literal["intrinsic", "control", "prefix", "low-rank", "random weights", "given"]

PREFIX_SIDE = 16
"""Side in pixels of the first convolution that an offset of role `prefix` moves."""
# The types that each control is applied to; on depth the other controls repeat those on the picture.
CONTROLLED = {IMAGE: tuple(CONTROLS), "depth": ("half-swap", "hflip", "rot180", "tile-shuffle")}
SWAP = "half-swap"
BUNDLED = "bundled"
RANDOM_WEIGHTS_TYPES = ("depth", "albedo")


@dataclass(frozen=True)
class Row:
    """One line of the report.

    type: determines readout and loss. control: name of the control that changes the target, or None. space, from_layer:
    of the offset. random_weights: whether the offset is fitted on a generator with random weights, to the same targets.
    given: an existing offset that is scored without a fit: BUNDLED, or the name of its file without the suffix.
    """

    type: str
    control: str | None = None
    space: str = "w+"
    from_layer: int = 0
    random_weights: bool = False
    given: str | None = None

    @property
    def role(self) -> Role:
        """The purpose of the row."""
        if self.given is not None:
            return "given"
        if self.random_weights:
            return "random weights"
        if self.space == "lora":
            return "low-rank"
        if self.from_layer:
            return "prefix"
        return "control" if self.control else "intrinsic"

    @property
    def target(self) -> str:
        """The map that is fitted to, such as `depth` or `image half-swap`."""
        return f"{self.type} {self.control}" if self.control else self.type

    @property
    def label(self) -> str:
        """The row's name in tables; unique in a study."""
        notes = {
            "given": BUNDLED if self.given == BUNDLED else f"file {self.given}",
            "random weights": "random weights",
            "low-rank": "low-rank",
            "prefix": f"from {PREFIX_SIDE} px",
        }
        return self.target + (f" ({notes[self.role]})" if self.role in notes else "")


@dataclass(frozen=True)
class Task:
    """One fit of a row; stream: number of the seed stream of its fitting pictures, and seed of their order."""

    row: Row
    stream: int = 0


def plan(
    types: Sequence[str],
    fits: int,
    control_fits: int,
    controls: bool = True,
    given: Sequence[Row] = (),
) -> list[Task]:
    """The tasks of a study, grouped by stream, so that a process builds each pool only once.

    types: names of maps, each fitted `fits` times. All other rows are fitted `control_fits` times: the maps of
    MAP_TYPES without the first layers, the controls of CONTROLLED, the half-swap controls without the first layers,
    low-rank updates for depth and for the half-swap controls, and generators with random weights. given: rows of
    existing offsets, scored once.
    """
    rows = {Row(name): fits for name in types} | dict.fromkeys(given, 1)
    if controls:
        rows |= dict.fromkeys(_controls(types), control_fits)
    return [Task(row, stream) for stream in range(max(fits, control_fits)) for row in rows if stream < rows[row]]


def _controls(types: Sequence[str]) -> list[Row]:
    maps = [name for name in MAP_TYPES if name in types]
    controlled = [name for name in CONTROLLED if name == IMAGE or name in types]
    rows = [Row(name, control) for name in controlled for control in CONTROLLED[name]]
    rows += [Row(name, from_layer=first_row_of_side(PREFIX_SIDE)) for name in maps]
    rows += [Row(name, SWAP, from_layer=first_row_of_side(PREFIX_SIDE)) for name in controlled]
    rows += [Row(name, space="lora") for name in maps if name in controlled]
    rows += [Row(name, SWAP, space="lora") for name in controlled]
    return rows + [Row(name, random_weights=True) for name in maps if name in RANDOM_WEIGHTS_TYPES]
