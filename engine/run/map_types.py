"""The types of the maps of a folder: as a model has them, or as run.json describes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sgi.engine.artifact import MAX_RESOLUTION
from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.run.run_file import RUN_FILE, RunFile


class MapTypes(Protocol):
    """What reading a map needs to know of its model; `Artifact` has it."""

    @property
    def resolution(self) -> int:
        """Side R of the maps in pixels."""
        ...

    def output(self, name: str) -> Intrinsic:
        """The type of a name; raises KeyError for another."""
        ...


@dataclass(frozen=True)
class DescribedTypes:
    """`MapTypes` of run.json: a reader needs no model. types: in the order of the run. resolution: in pixels."""

    types: tuple[Intrinsic, ...]
    resolution: int

    def output(self, name: str) -> Intrinsic:
        """See `MapTypes.output`."""
        return {kind.name: kind for kind in self.types}[name]


def types_of(outdir: Path, run: RunFile) -> DescribedTypes:
    """The types that run.json of a folder describes; raises UserError for a description that is not complete."""
    try:
        rows = [{name: value for name, value in row.items() if name != "encoding"} for row in run.facts["maps"]]
        found = {kind.name: kind for kind in map(Intrinsic.from_dict, rows)}
        resolution = run.facts["model"]["resolution"]
        if not isinstance(resolution, int) or not 1 <= resolution <= MAX_RESOLUTION:
            raise ValueError("its resolution is no number of pixels")
        return DescribedTypes(tuple(found[name] for name in run.record.types), resolution)
    except (KeyError, TypeError, AttributeError, ValueError, UserError) as error:
        lacks = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(
            f"`outdir={outdir}`: its {RUN_FILE} does not describe the maps ({lacks}); restore it from a copy"
        ) from None
