"""The spread of maps under several lights: of offsets, G(w + relight + d), and of the teacher on G(w + relight).

For comparison the teacher is also applied to rooms that were rendered under several lights, whose geometry and albedo
are identical. The figures are meaningful only if the directions change the light and little else. Therefore they are
also computed for the pictures themselves and for the teacher's shading and albedo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sgi.engine import intrinsics
from sgi.engine.generator import Generator
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.offsets import Offset
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.measures.by_type import FVU, Statistics, statistics, variance_measures
from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.pool import RENDER_BATCH
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.offsets.teacher_targets import targets_on_cpu
from sgi.trainer.scenes import Rooms, relight, render, sample_rooms
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.studies.figures import FigureSet
from sgi.trainer.studies.relighting.directions import coarse, diversity, relit
from sgi.trainer.studies.relighting.spread import SPREAD, spread_measures
from sgi.trainer.teachers import Teacher

SCENES = 32
SEED, LIGHT_SEED = 41_011, 41_012
PICTURES = 4
LIGHT_TYPES = ("albedo", "shading")

ROWS = {
    "offset": "G(w + relight + d)",
    "teacher_on_relit": "teacher on G(w + relight)",
    "teacher_on_renders": "teacher on rooms lit anew by the renderer",
    "offset_against_teacher": "G(w + relight + d) against the teacher on G(w + relight)",
    "offset_against_teacher_before": "G(w + d) against the teacher on G(w)",
    "directions": "the relit pictures themselves",
    "renders": "the pictures of rooms lit anew",
}


@dataclass(frozen=True)
class LightFigures:
    """Spread of maps over K lights.

    scenes: number of held-out seeds, and of rooms. lights: K. figures: of ROWS, such as "depth/offset/spread", with
    two pictures. checks: figures that show whether the directions change only the light. shading_ratio, albedo_ratio:
    the teacher's spread of the type under the directions, divided by that under the renderer's lights. A shading_ratio
    of about 1 or more means that the light changes as much as in renders; an albedo_ratio above 1 means that more than
    the light changes. diversity, diversity_of_renders: see `directions.diversity`. same_segments: share of pixels
    whose predicted class is unchanged, for a teacher that segments.
    """

    scenes: int
    lights: int
    checks: dict[str, float]
    figures: FigureSet

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, JSON-ready."""
        head = {"scenes": self.scenes, "lights": self.lights, "rows": ROWS, "checks": self.checks}
        return head | self.figures.to_dict()


def measure_relit_maps(
    generator: Generator,
    teacher: Teacher,
    offsets: Sequence[Offset],
    directions: Tensor,
    scenes: int = SCENES,
    variety: str = "calm",
) -> LightFigures:
    """Spread of the maps of offsets and teacher over K lights.

    offsets: fitted on `generator` under one sampling, of types the teacher predicts. directions: [K, num_ws, w_dim]
    float32. scenes: number of held-out seeds, and of rooms. variety: of the rooms. Raises UserError for offsets of
    different sampling and an unknown variety.
    """
    lights, sampling = len(directions), common_sampling(offsets)
    device = generator.mapping.w_avg.device
    types = [name for name in dict.fromkeys([*(o.type for o in offsets), *LIGHT_TYPES]) if name in teacher.types]
    ws = sampling.ws(generator, scoring_seeds(scenes)).cpu()[:, None]
    lit = relit(ws[:, 0], directions.cpu())
    before, images = (pictures(generator, latents, sampling.noise_mode) for latents in (ws, lit))
    renders = _renders(scenes, lights, generator.config.resolution, variety)
    target_before, target, target_renders = (
        _targets(teacher, seen, types, device) for seen in (before, images, renders)
    )
    maps: dict[str, dict[str, Tensor]] = {"image": {"directions": images, "renders": renders}}
    maps |= {name: {"teacher_on_relit": target[name], "teacher_on_renders": target_renders[name]} for name in types}
    found = FigureSet(ROWS)
    for offset in offsets:
        prediction_before, prediction = (
            apply_offset(generator, latents.flatten(0, 1), offset).unflatten(0, latents.shape[:2])
            for latents in (ws, lit)
        )
        maps.setdefault(offset.type, {})["offset"] = prediction
        if offset.type in types:
            by = {FVU: variance_measures(mean_map(target[offset.type].flatten(0, 1)))[FVU]}
            for row, predicted, targets in (
                ("offset_against_teacher_before", prediction_before, target_before[offset.type]),
                ("offset_against_teacher", prediction, target[offset.type]),
            ):
                kept = statistics(by, predicted.flatten(0, 1), targets.flatten(0, 1))
                found.add(f"{offset.type}/{row}", by, _per_scene(kept, scenes))
    kinds = {offset.type: offset.intrinsic for offset in offsets}
    for name, rows in maps.items():
        by = spread_measures(kinds.get(name) or intrinsics.get(name))
        for row, lit_maps in rows.items():
            found.add(f"{name}/{row}", by, statistics(by, lit_maps, lit_maps))
    found.pictures["Relit pictures"] = relit_sheet(before[:, 0], images)
    found.pictures["Maps of one scene under every light"] = _maps_sheet(maps, kinds)
    return LightFigures(scenes, lights, _checks(teacher, found, target, target_renders, before, images, device), found)


def _per_scene(kept: Statistics, scenes: int) -> Statistics:
    """Statistics [N * K, M] of pictures to means [N, M] over a scene's lights: the bootstrap resamples scenes."""
    return {key: numbers.reshape(scenes, -1, numbers.shape[-1]).mean(axis=1) for key, numbers in kept.items()}


def relit_sheet(before: Tensor, images: Tensor) -> bytes:
    """A PNG of the first scenes: G(w) [N, 3, R, R], then G(w + relight) [N, K, 3, R, R] for every direction."""
    rows = {}
    for index in range(min(PICTURES, len(before))):
        columns = {"G(w)": before[index]} | {f"light {k}": picture for k, picture in enumerate(images[index])}
        rows[f"scene {index}"] = {title: picture.numpy() for title, picture in columns.items()}
    return draw_sheet(rows)


@torch.no_grad()
def pictures(generator: Generator, ws: Tensor, noise_mode: str) -> Tensor:
    """G(ws) [N, K, 3, R, R] in [0, 1] of ws [N, K, num_ws, w_dim], on the CPU."""
    device = generator.mapping.w_avg.device
    parts = [generator.synthesize(part.to(device), noise_mode).cpu() for part in ws.flatten(0, 1).split(RENDER_BATCH)]
    return (torch.cat(parts) * 0.5 + 0.5).clamp(0, 1).unflatten(0, ws.shape[:2])


def _renders(scenes: int, lights: int, side: int, variety: str) -> Tensor:
    """Rooms under several lights of the renderer, [N, K, 3, R, R]."""
    rooms = sample_rooms(scenes, torch.Generator().manual_seed(SEED), variety=get_variety(variety))
    each = Rooms.cat([rooms] * lights)
    pictures = render(relight(each, torch.Generator().manual_seed(LIGHT_SEED)), side).image
    return pictures.unflatten(0, (lights, scenes)).transpose(0, 1)


def _targets(teacher: Teacher, images: Tensor, types: Sequence[str], device: torch.device) -> dict[str, Tensor]:
    """The teacher's codes [N, K, C, R, R] by type, on the CPU, of pictures [N, K, 3, R, R]."""
    found = targets_on_cpu(teacher, images.flatten(0, 1), types, device)
    return {name: codes.unflatten(0, images.shape[:2]) for name, codes in found.items()}


def _checks(
    teacher: Teacher,
    found: FigureSet,
    target: Mapping[str, Tensor],
    target_renders: Mapping[str, Tensor],
    before: Tensor,
    images: Tensor,
    device: torch.device,
) -> dict[str, float]:
    """The checks of `LightFigures`."""
    checks = {}
    for name in LIGHT_TYPES:
        if name in target:
            spread, spread_of_renders = (
                found.figures[f"{name}/{row}/{SPREAD}"]["value"] for row in ("teacher_on_relit", "teacher_on_renders")
            )
            if spread is not None and spread_of_renders:
                checks[f"{name}_ratio"] = spread / spread_of_renders
    if "shading" in target:
        for key, maps in (("diversity", target), ("diversity_of_renders", target_renders)):
            shading = coarse(maps["shading"])
            checks[key] = diversity(shading - shading.mean(dim=1, keepdim=True)).mean().item()
    segment = getattr(teacher, "segment", None)
    if segment is not None:
        with torch.no_grad():
            labels_before, labels = (
                segment(seen.flatten(0, 1).to(device)).argmax(1).unflatten(0, seen.shape[:2])
                for seen in (before, images)
            )
        checks["same_segments"] = (labels == labels_before).float().mean().item()
    return checks


def _maps_sheet(maps: Mapping[str, Mapping[str, Tensor]], kinds: Mapping[str, Intrinsic]) -> bytes:
    """The first scene: a column for each light; pictures, then of every type the teacher's map and the offset's.

    kinds: types of the offsets.
    """
    rows = {"picture": maps["image"]["directions"][0]}
    types = {}
    for name, made in maps.items():
        for row, label in (("teacher_on_relit", "teacher"), ("offset", "offset")):
            if row in made and "offset" in made:
                rows[f"{name}, {label}"] = made[row][0]
                types[f"{name}, {label}"] = kinds[name]
    cells = {title: {f"light {k}": m.numpy() for k, m in enumerate(lit)} for title, lit in rows.items()}
    return draw_sheet(cells, types)
