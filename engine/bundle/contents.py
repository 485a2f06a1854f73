"""What the bundle holds: a manifest of hashes, and a model card written from the files' own headers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from sgi.engine.artifact import Artifact
from sgi.engine.bundle import FOLDER, GENERATOR, MODEL
from sgi.engine.files import atomic_write, sha256_file
from sgi.engine.offsets import Offset

MANIFEST = "manifest.json"
CARD = "CARD.md"
DATA_SUFFIXES = (".safetensors", ".onnx")


def data_files(folder: Path = FOLDER) -> list[Path]:
    """Every data file below the folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix in DATA_SUFFIXES)


def write_manifest(folder: Path = FOLDER) -> None:
    """Write manifest.json: name -> bytes and sha256 of every data file."""
    entries = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in data_files(folder)
    }
    with atomic_write(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(entries, indent=2) + "\n")


def header(path: Path, key: str) -> dict[str, Any]:
    """JSON that a safetensors file of ours keeps under `key`."""
    with safe_open(str(path), framework="np") as file:
        return json.loads(file.metadata()[key])


def write_card(folder: Path = FOLDER) -> None:
    """Write CARD.md from what the generator, teacher, offsets and model say of themselves."""
    generator = header(folder / GENERATOR.name, "sgi_generator")
    teacher = header(folder / "teacher.safetensors", "sgi_teacher")
    offsets = [Offset.load(path) for path in sorted((folder / "offsets").glob("*.safetensors"))]
    text = _card(generator, teacher, offsets, Artifact.read(folder / MODEL.name), data_files(folder), folder)
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text(text)


def offset_table(offsets: list[Offset]) -> str:
    """Markdown table: held-out figures of every offset beside its best baseline."""
    lines = [
        "| type | FVU | best baseline | FVU of it | high-pass FVU | other figures |",
        "|---|---|---|---|---|---|",
    ]
    for offset in offsets:
        rows = offset.score["rows"]
        ours, best = rows["offset"], offset.score["best_baseline"]
        other = ", ".join(
            f"{key.removeprefix(offset.type + '_').replace('_', ' ')} {value:.3g}"
            for key, value in ours.items()
            if key.startswith(f"{offset.type}_")
        )
        lines.append(
            f"| {offset.type} | **{ours['fvu']:.3f}** | {best.replace('_', ' ')} | {rows[best]['fvu']:.3f} "
            f"| {ours['fvu_high_pass']:.3f} | {other} |"
        )
    return "\n".join(lines)


def teacher_table(teacher: dict[str, Any], figures: Sequence[str] | None = None) -> str:
    """Markdown table: the teacher's errors on held-out renders, all or some, beside the constant mean map's."""
    columns = teacher["notes"]["held_out"]
    names = list(columns)
    lines = [f"| figure | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {figure.replace('_', ' ')} | {' | '.join(f'{columns[name][figure]:.3g}' for name in names)} |"
        for figure in figures or columns[names[0]]
    ]
    return "\n".join(lines)


def _card(
    generator: dict[str, Any],
    teacher: dict[str, Any],
    offsets: list[Offset],
    artifact: Artifact,
    files: list[Path],
    folder: Path,
) -> str:
    notes, quality = generator["notes"], generator["notes"]["quality"]
    sizes = "\n".join(f"| {p.relative_to(folder).as_posix()} | {p.stat().st_size / 1e6:.2f} MB |" for p in files)
    errors = [f["max"] for by_type in artifact.parity["runtimes"].values() for f in by_type.values()]
    return f"""# Bundled rooms: model card

A StyleGAN2 of {artifact.resolution} px trained by this project's own code on its own procedural rooms, a teacher
trained on the same rooms' exact maps, and offsets that turn the generator's pictures into maps. Apache-2.0, like the
code; no data of anybody else's went into it. `make bundle` rebuilds all of it from nothing.

| file | size |
|---|---|
{sizes}

## Generator
Trained for {notes["kimg"]:.0f} thousand images in {notes["seconds"] / 3600:.2f} hours. {notes.get("history", "")}
Frechet distance in the teacher's feature space, relative to the trace of the real covariance, over
{quality["images"]} seeds and as many held-out renders: {quality["frechet"]:.4f}; between two sets of renders:
{quality["frechet_floor"]:.4f}. Kernel distance (KID's estimator) in the same features: {quality["kernel"]:.4f};
between two sets of renders: {quality["kernel_floor"]:.4f}. Neither is an FID or a KID, whose features are Inception's.

## Teacher
Held-out renders, against the renderer's exact maps, in display codes (depth: 6 m is 1):

{teacher_table(teacher)}

## Offsets
Scored on {offsets[0].score["seeds"]}, against the teacher's maps of the same pictures.
FVU: variance about the mean map left unexplained, 0 perfect, 1 no better than the mean map. High-pass: the same of
the maps minus their 9x9 box blur, which asks for detail.

{offset_table(offsets)}

Regenerate with `sgi-engine score --type all`.

## Exported model
{", ".join(artifact.type_names)}; opset {artifact.opset}; largest difference from torch through any runtime, as a
fraction of a type's range: {max(errors):.1e}.

## Limits
Rooms of one procedural family, {artifact.resolution} px. Maps are as soft as the generator's pictures: small
furniture is blurred. Scores are agreement with the teacher, whose own errors stand above. Depth is relative to 6 m
of this world and means nothing elsewhere.
"""
