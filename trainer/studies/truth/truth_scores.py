"""Scores of offsets against exact maps, on rendered rooms that were inverted into the generator.

The difference between G(w + d) and the truth has three sources: the inversion, the offset, and the teacher that the
offset was fitted to. The rows of the result separate them: the teacher on the render, the teacher on the reconstruction
G(w), the offset at the same w, and the offset against the teacher, which is independent of the inversion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.measures.by_type import Measure, measures_of, statistics
from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.teacher_targets import targets_on_cpu
from sgi.trainer.scenes import Maps, render, sample_rooms
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.studies.figures import FigureSet
from sgi.trainer.studies.truth.exact_codes import exact_codes, is_exact
from sgi.trainer.studies.truth.latent_search import Inversion, SearchSettings, find_latents, psnr
from sgi.trainer.teachers import Teacher

ROOMS = 48
# Seeds of rooms that neither the generator nor the teacher was trained on.
SEED, CONSTANT_SEED = 40_011, 40_012
CONSTANT_ROOMS = 256
PICTURES = 3

ROWS = {
    "offset": "G(w + d) against the truth",
    "teacher_on_reconstruction": "teacher on G(w) against the truth",
    "teacher_on_render": "teacher on the render against the truth",
    "constant": "mean map of other rooms against the truth",
    "offset_against_teacher": "G(w + d) against the teacher on G(w)",
}
_COLUMNS = {
    "exact": "exact",
    "teacher_on_render": "teacher",
    "teacher_on_reconstruction": "teacher, G(w)",
    "offset": "G(w + d)",
}
_PSNR = {
    "psnr": Measure(
        "PSNR, dB", lambda prediction, target: psnr(prediction, target)[:, None], lambda mean: mean[..., 0], True
    )
}


@dataclass(frozen=True)
class TruthReport:
    """Result of the truth study.

    rooms: their number. variety: of the rooms. search: settings of the inversion. left_out: types without exact maps.
    figures: of ROWS, such as "depth/offset/fvu", and "inversion/psnr", with one picture.
    """

    rooms: int
    variety: str
    search: SearchSettings
    left_out: list[str]
    figures: FigureSet

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, JSON-ready."""
        head = {"rooms": self.rooms, "variety": self.variety, "inversion": asdict(self.search), "rows": ROWS}
        return head | {"left_out": self.left_out} | self.figures.to_dict()


def score_against_truth(
    generator: Generator,
    teacher: Teacher,
    offsets: Sequence[Offset],
    rooms: int = ROOMS,
    variety: str = "calm",
    search: SearchSettings | None = None,
    progress: Progress = SILENT,
) -> TruthReport:
    """Score offsets against the renderer's exact maps on inverted rooms, beside the other ROWS.

    offsets: fitted on `generator` under one sampling. Types without exact maps of rooms are left out, and so are the
    teacher's rows of a type that it does not predict. variety: of the rooms, the one the generator was trained on.
    Raises UserError when no offset has exact maps, or offsets differ in their sampling.
    """
    search = search or SearchSettings()
    known = [offset for offset in offsets if is_exact(offset.intrinsic)]
    if not known:
        raise UserError(f"`offsets`: rooms have exact maps of {', '.join(TYPES[1:])} and their own classes only")
    sampling = common_sampling(known)
    side, device = generator.config.resolution, generator.mapping.w_avg.device
    truth, others = (
        render(sample_rooms(count, torch.Generator().manual_seed(seed), variety=get_variety(variety)), side)
        for count, seed in ((rooms, SEED), (CONSTANT_ROOMS, CONSTANT_SEED))
    )
    inversion = find_latents(generator, truth.image, sampling, search, progress)
    target = {
        "teacher_on_render": _targets(teacher, truth.image, known, device),
        "teacher_on_reconstruction": _targets(teacher, inversion.images, known, device),
    }
    found = FigureSet(ROWS)
    found.add("inversion", _PSNR, statistics(_PSNR, inversion.images, truth.image))
    maps_by_type: dict[str, dict[str, Tensor]] = {}
    for offset in known:
        name, kind = offset.type, offset.intrinsic
        exact, constant = exact_codes(truth, kind), mean_map(exact_codes(others, kind))
        prediction = apply_offset(generator, inversion.ws, offset)
        maps_by_type[name] = {"exact": exact, "offset": prediction} | {
            row: maps[name] for row, maps in target.items() if name in maps
        }
        pairs = {row: (maps, exact) for row, maps in maps_by_type[name].items()}
        pairs["constant"] = (constant.expand_as(exact), exact)
        if name in teacher.types:
            pairs["offset_against_teacher"] = (prediction, maps_by_type[name]["teacher_on_reconstruction"])
        by = measures_of(kind, constant)
        for row in ROWS:
            if row in pairs:
                found.add(f"{name}/{row}", by, statistics(by, *pairs[row]))
    found.pictures["Exact maps, and those of teacher and offset"] = _sheet(truth, inversion, maps_by_type, known)
    left_out = [offset.type for offset in offsets if not is_exact(offset.intrinsic)]
    return TruthReport(rooms, variety, search, left_out, found)


def _targets(teacher: Teacher, images: Tensor, offsets: Sequence[Offset], device: torch.device) -> dict[str, Tensor]:
    """Codes [N, C, R, R] on the CPU of the offsets' types that the teacher predicts."""
    types = [offset.type for offset in offsets if offset.type in teacher.types]
    return targets_on_cpu(teacher, images, types, device)


def _sheet(
    truth: Maps, inversion: Inversion, maps_by_type: Mapping[str, Mapping[str, Tensor]], offsets: Sequence[Offset]
) -> bytes:
    """A row for each of the first rooms and each type."""
    kinds = {offset.type: offset.intrinsic for offset in offsets}
    rows, types = {}, {}
    for index in range(min(PICTURES, len(truth.image))):
        for name, maps in maps_by_type.items():
            columns = {"render": truth.image, "inverted, G(w)": inversion.images}
            columns |= {title: maps[row] for row, title in _COLUMNS.items() if row in maps}
            rows[f"{index} {name}"] = {title: codes[index].numpy() for title, codes in columns.items()}
            types[f"{index} {name}"] = kinds[name]
    return draw_sheet(rows, types)
