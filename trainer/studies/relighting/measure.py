"""Do maps bear a change of light? G(w + relight + d) beside the teacher on the relit picture G(w + relight).

And beside the teacher on rooms that the renderer lit anew, where geometry and albedo are the same to the last bit.
Directions that did not change the light, or changed more than light, would make any spread worthless, so the same
figures are there for the pictures themselves and for what the teacher says of shading and albedo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sgi.engine.generator import Generator
from sgi.engine.offsets import Offset
from sgi.engine.writers.preview import draw_sheet
from sgi.trainer.measures.by_type import FVU, Statistics, statistics, variance_measures
from sgi.trainer.offsets.apply_offset import apply_offset, common_sampling
from sgi.trainer.offsets.baselines import mean_map
from sgi.trainer.offsets.pool import RENDER_BATCH, ask
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.scenes import Rooms, relight, render, sample_rooms
from sgi.trainer.scenes.variety import get_variety
from sgi.trainer.studies.relighting.directions import coarse, diversity, relit
from sgi.trainer.studies.relighting.spread import SPREAD, spread_measures
from sgi.trainer.studies.section import Section
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


def measure(
    generator: Generator,
    teacher: Teacher,
    offsets: Sequence[Offset],
    directions: Tensor,
    scenes: int = SCENES,
    variety: str = "calm",
) -> dict[str, Any]:
    """Spread of maps over K lights, of offsets and teacher.

    offsets: fitted on `generator` under one sampling, of types the teacher tells. directions: [K, num_ws, w_dim]
    float32. scenes: how many held-out seeds, and how many rooms. variety: of the rooms.

    Returns JSON-ready values but for the pictures: scenes, lights, rows (ROWS), figures {"depth/offset/spread": {value,
    low, high} ...}, titles of the figures' measures, checks {name: float}, pictures {title: PNG bytes}. The checks:
    shading_ratio and albedo_ratio, the teacher's spread of each under the directions as a share of that under the
    renderer's lights (near 1 or above: the light changed as much; albedo above 1: more than the light changed);
    diversity and diversity_of_renders, see `directions.diversity`; same_segments, the share of pixels whose class the
    teacher sees unchanged, of a teacher that segments.
    """
    lights, sampling = len(directions), common_sampling(offsets)
    types = [name for name in dict.fromkeys([*(o.type for o in offsets), *LIGHT_TYPES]) if name in teacher.types]
    ws = sampling.ws(generator, scoring_seeds(scenes)).cpu()[:, None]
    lit = relit(ws[:, 0], directions.cpu())
    before, images = (pictures(generator, latents, sampling.noise_mode) for latents in (ws, lit))
    renders = _renders(scenes, lights, generator.config.resolution, variety)
    told_before, target, told_renders = (_told(teacher, seen, types) for seen in (before, images, renders))
    maps: dict[str, dict[str, Tensor]] = {"image": {"directions": images, "renders": renders}}
    maps |= {name: {"teacher_on_relit": target[name], "teacher_on_renders": told_renders[name]} for name in types}
    section = Section()
    for offset in offsets:
        shown_before, prediction = (
            apply_offset(generator, latents.flatten(0, 1), offset).unflatten(0, latents.shape[:2])
            for latents in (ws, lit)
        )
        maps.setdefault(offset.type, {})["offset"] = prediction
        if offset.type in types:
            by = {FVU: variance_measures(mean_map(target[offset.type].flatten(0, 1)))[FVU]}
            for row, mine, theirs in (
                ("offset_against_teacher_before", shown_before, told_before[offset.type]),
                ("offset_against_teacher", prediction, target[offset.type]),
            ):
                kept = statistics(by, mine.flatten(0, 1), theirs.flatten(0, 1))
                section.add(f"{offset.type}/{row}", by, _per_scene(kept, scenes))
    for name, rows in maps.items():
        by = spread_measures(name)
        for row, lit_maps in rows.items():
            section.add(f"{name}/{row}", by, statistics(by, lit_maps, lit_maps))
    section.pictures["Relit pictures"] = relit_sheet(before[:, 0], images)
    section.pictures["Maps of one scene under every light"] = _maps_sheet(maps)
    return {
        "scenes": scenes,
        "lights": lights,
        "rows": ROWS,
        "checks": _checks(teacher, section, target, told_renders, before, images),
        **section.to_dict(),
    }


def _per_scene(kept: Statistics, scenes: int) -> Statistics:
    """Numbers [N * K, M] of pictures as means [N, M] over a scene's lights: scenes are what is drawn at random."""
    return {key: numbers.reshape(scenes, -1, numbers.shape[-1]).mean(axis=1) for key, numbers in kept.items()}


def relit_sheet(before: Tensor, images: Tensor) -> bytes:
    """A PNG of the first scenes: G(w) [N, 3, R, R], then G(w + relight) [N, K, 3, R, R] for every direction."""
    rows = {}
    for index in range(min(PICTURES, len(before))):
        columns = {"G(w)": before[index]} | {f"light {k}": picture for k, picture in enumerate(images[index])}
        rows[str(index)] = {title: picture.numpy() for title, picture in columns.items()}
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


@torch.no_grad()
def _told(teacher: Teacher, images: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
    """The teacher's codes [N, K, C, R, R] by type, on the CPU, of pictures [N, K, 3, R, R]."""
    parts = [ask(teacher, part, types) for part in images.flatten(0, 1).split(RENDER_BATCH)]
    return {name: torch.cat([part[name].cpu() for part in parts]).unflatten(0, images.shape[:2]) for name in types}


def _checks(
    teacher: Teacher,
    section: Section,
    target: Mapping[str, Tensor],
    told_renders: Mapping[str, Tensor],
    before: Tensor,
    images: Tensor,
) -> dict[str, float]:
    """Did the light change, and little else? See `measure`."""
    checks = {}
    for name in LIGHT_TYPES:
        if name in target:
            ours, theirs = (
                section.figures[f"{name}/{row}/{SPREAD}"]["value"] for row in ("teacher_on_relit", "teacher_on_renders")
            )
            if ours is not None and theirs:
                checks[f"{name}_ratio"] = ours / theirs
    if "shading" in target:
        for key, maps in (("diversity", target), ("diversity_of_renders", told_renders)):
            shading = coarse(maps["shading"])
            checks[key] = diversity(shading - shading.mean(dim=1, keepdim=True)).mean().item()
    segment = getattr(teacher, "segment", None)
    if segment is not None:
        with torch.no_grad():
            was, now = (segment(seen.flatten(0, 1)).argmax(1).unflatten(0, seen.shape[:2]) for seen in (before, images))
        checks["same_segments"] = (now == was).float().mean().item()
    return checks


def _maps_sheet(maps: Mapping[str, Mapping[str, Tensor]]) -> bytes:
    """The first scene: a column for each light; pictures, then of every type the teacher's map and the offset's."""
    rows = {"picture": maps["image"]["directions"][0]}
    for name, made in maps.items():
        for row, label in (("teacher_on_relit", "teacher"), ("offset", "offset")):
            if row in made and "offset" in made:
                rows[f"{name}, {label}"] = made[row][0]
    return draw_sheet({title: {f"light {k}": m.numpy() for k, m in enumerate(lit)} for title, lit in rows.items()})
