"""How an offset fares against the truth: rendered rooms inverted into the generator, whose maps are known exactly.

Three things stand between G(w + d) and the truth: what the inversion loses, what the offset misses, and what the
teacher it was fitted to gets wrong. The rows of the result part them: the teacher on the render itself, the teacher
on the reconstruction G(w), the offset on the same w, and the offset against the teacher where no inversion error
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.measures.by_type import Measure, measures_of, statistics
from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.pool import RENDER_BATCH, ask
from sgi.trainer.scenes import Maps, render, sample_rooms
from sgi.trainer.scenes.maps import TYPES
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.studies.section import Section
from sgi.trainer.studies.truth.exact import exact_codes, is_exact
from sgi.trainer.studies.truth.inversion import Inversion, InversionSettings, invert, psnr
from sgi.trainer.teachers import Teacher

ROOMS = 48
# Rooms of no training: neither the generator's nor the teacher's.
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


def measure(
    generator: Generator,
    teacher: Teacher,
    offsets: Sequence[Offset],
    rooms: int = ROOMS,
    variety: str = "calm",
    settings: InversionSettings | None = None,
    on_step: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Score offsets against the renderer's exact maps on inverted rooms; see ROWS for what stands beside them.

    offsets: fitted on `generator` under one sampling; types that rooms have no exact map of are left out, and so is a
    row of a type that the teacher cannot tell. variety: of the rooms, that which the generator was trained on.
    on_step: hears how many pictures took a step of the inversion, rooms * settings.steps in all.

    Returns JSON-ready values but for the pictures: rooms, variety, inversion (its settings), rows (ROWS), figures such
    as "inversion/psnr" and "depth/offset/fvu", titles and pictures (see sgi.trainer.studies.section),
    left_out: names of types without truth. Raises UserError when no offset has a truth, or offsets disagree
    about the sampling.
    """
    settings = settings or InversionSettings()
    known = [offset for offset in offsets if is_exact(offset.intrinsic)]
    if not known:
        raise UserError(f"--offset: rooms have exact maps of {', '.join(TYPES[1:])} and their own classes only")
    sampling = common_sampling(known)
    side = generator.config.resolution
    truth, others = (
        render(sample_rooms(count, torch.Generator().manual_seed(seed), variety=get_variety(variety)), side)
        for count, seed in ((rooms, SEED), (CONSTANT_ROOMS, CONSTANT_SEED))
    )
    inversion = invert(generator, truth.image, sampling, settings, on_step)
    target = {
        "teacher_on_render": _told(teacher, truth.image, known),
        "teacher_on_reconstruction": _told(teacher, inversion.images, known),
    }
    section = Section()
    section.add("inversion", _PSNR, statistics(_PSNR, inversion.images, truth.image))
    prediction: dict[str, dict[str, Tensor]] = {}
    for offset in known:
        name, kind = offset.type, offset.intrinsic
        exact, constant = exact_codes(truth, kind), mean_map(exact_codes(others, kind))
        made = apply_offset(generator, inversion.ws, offset)
        prediction[name] = {"exact": exact, "offset": made} | {
            row: maps[name] for row, maps in target.items() if name in maps
        }
        pairs = {row: (maps, exact) for row, maps in prediction[name].items()}
        pairs["constant"] = (constant.expand_as(exact), exact)
        if name in teacher.types:
            pairs["offset_against_teacher"] = (made, prediction[name]["teacher_on_reconstruction"])
        by = measures_of(kind, constant)
        for row in ROWS:
            if row in pairs:
                section.add(f"{name}/{row}", by, statistics(by, *pairs[row]))
    section.pictures["Truth, and what teacher and offset make of it"] = _sheet(truth, inversion, prediction)
    return {
        "rooms": rooms,
        "variety": variety,
        "inversion": asdict(settings),
        "rows": ROWS,
        "left_out": [offset.type for offset in offsets if not is_exact(offset.intrinsic)],
        **section.to_dict(),
    }


def _told(teacher: Teacher, images: Tensor, offsets: Sequence[Offset]) -> dict[str, Tensor]:
    """Codes [N, C, R, R] on the CPU of the offsets' types that the teacher can tell."""
    types = [offset.type for offset in offsets if offset.type in teacher.types]
    with torch.no_grad():
        parts = [ask(teacher, part, types) for part in images.split(RENDER_BATCH)]
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in types}


def _sheet(truth: Maps, inversion: Inversion, prediction: Mapping[str, Mapping[str, Tensor]]) -> bytes:
    """A row for each of the first rooms and each type."""
    rows = {}
    for index in range(min(PICTURES, len(truth.image))):
        for name, maps in prediction.items():
            columns = {"render": truth.image, "inverted, G(w)": inversion.images}
            columns |= {title: maps[row] for row, title in _COLUMNS.items() if row in maps}
            rows[f"{index} {name}"] = {title: codes[index].numpy() for title, codes in columns.items()}
    return draw_sheet(rows)
