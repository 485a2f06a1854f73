"""The relighting study: find directions that change the light, and measure how maps change along them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.files import atomic_write, check_writable
from sgi.engine.progress import SILENT, Progress
from sgi.trainer import teachers
from sgi.trainer.device import find_device
from sgi.trainer.offsets.apply_offset import common_sampling
from sgi.trainer.offsets.open_generator import AUTO, open_generator
from sgi.trainer.studies.relighting.directions import (
    DirectionSettings,
    find_directions,
    load_directions,
    save_directions,
)
from sgi.trainer.studies.relighting.relit_maps import SCENES, LightFigures, measure_relit_maps
from sgi.trainer.studies.study_inputs import open_offsets, study_precision

REPORT, DIRECTIONS = "relight.json", "directions.npy"


@dataclass(frozen=True, kw_only=True)
class RelightingSettings:
    """Settings of the relighting study.

    out: folder of the files. directions: .npy file [K, num_ws, w_dim] of directions to measure; None searches for them.
    generator: file; None is the bundled one. offsets: files to measure; () is the bundled ones, for the bundled
    generator. teacher: spec, see sgi.trainer.teachers. count, steps, keep, from_layer, seed: of the search, None for
    the defaults of `DirectionSettings`. scenes: number of held-out seeds, and of rooms, to measure on. variety: of the
    rooms. device: cpu or cuda. backend: torch, triton or auto, see `choose_backend`. threads: CPU threads; None leaves
    them. precision: of the search, fp32 or bf16; None is the device's preferred one. Raises UserError for settings of
    the search beside `directions`.
    """

    out: Path = Path("relit")
    directions: Path | None = None
    generator: Path | None = None
    offsets: tuple[Path, ...] = ()
    teacher: str = "bundled"
    count: int | None = None
    steps: int | None = None
    keep: float | None = None
    from_layer: int | None = None
    seed: int | None = None
    scenes: int = SCENES
    variety: str = "calm"
    device: str = "cpu"
    backend: str = AUTO
    threads: int | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        if self.generator and not self.offsets:
            raise UserError("`offsets` is missing: pass the offsets that were fitted on `generator`")
        if self.directions is not None:
            refuse_ignored(
                {**self.search(), "precision": self.precision},
                "with `directions`: they are measured and not searched for; leave one of the two out",
            )

    def search(self) -> dict[str, int | float | None]:
        """The settings of the search, None where they were not passed."""
        return {name: getattr(self, name) for name in ("count", "steps", "keep", "from_layer", "seed")}


@dataclass(frozen=True)
class RelightingReport:
    """Result of the relighting study.

    directions: [K, num_ws, w_dim] float32, found or read. measured: the figures, their pictures, and checks that the
    light changed.
    """

    directions: Tensor
    measured: LightFigures

    def to_dict(self) -> dict[str, Any]:
        """The figures and checks as JSON-ready values."""
        return self.measured.to_dict()

    def write(self, folder: Path) -> None:
        """Write relight.json and the pictures."""
        folder.mkdir(parents=True, exist_ok=True)
        for title, picture in self.measured.figures.pictures.items():
            with atomic_write(folder / f"{title.lower().replace(' ', '-')}.png") as temporary:
                temporary.write_bytes(picture)
        with atomic_write(folder / REPORT) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1) + "\n")


def relight(settings: RelightingSettings, progress: Progress = SILENT) -> RelightingReport:
    """Find directions that change the light, or read them from a file, and measure how maps change along them.

    Directions that were found are written to `out` before they are measured. Raises UserError for invalid files and
    settings, and for offsets of another generator or of different samplings.

        from pathlib import Path
        from sgi.trainer.studies.relighting import RelightingSettings, relight

        report = relight(RelightingSettings(count=4, steps=100))
        report.write(Path("relit"))
    """
    device = find_device(settings.device, settings.threads)
    given: dict[str, Any] = {name: value for name, value in settings.search().items() if value is not None}
    search = DirectionSettings(**given, precision=study_precision(settings.precision, device))
    check_writable(settings.out, folder=True, make=True)
    generator = open_generator(settings.generator, device, settings.backend)
    offsets = open_offsets(settings.offsets, settings.generator, generator)
    sampling = common_sampling(offsets)
    teacher = teachers.load_teacher(settings.teacher, settings.device)
    if settings.directions is not None:
        directions = load_directions(settings.directions, generator.config)
    else:
        directions = find_directions(generator, teacher, sampling, search, progress)
        settings.out.mkdir(parents=True, exist_ok=True)
        save_directions(settings.out / DIRECTIONS, directions)
    progress.message(f"measuring {len(directions)} lights on {settings.scenes} scenes")
    measured = measure_relit_maps(generator, teacher, offsets, directions, settings.scenes, settings.variety)
    return RelightingReport(directions, measured)
