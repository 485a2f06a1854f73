"""The manifest of the bundle with the hashes of its files, and the model card, made from the headers of the files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from sgi.engine.artifact import Artifact
from sgi.engine.budget import parse_json
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
    """The JSON header of a safetensors file under its metadata key."""
    with safe_open(str(path), framework="np") as file:
        values: dict[str, Any] = parse_json(file.metadata()[key], finite=False)
    return values


def write_card(folder: Path = FOLDER) -> None:
    """Write CARD.md from the headers of the generator, the teacher, the offsets and the exported model."""
    generator = header(folder / GENERATOR.name, "sgi_generator")
    teacher = header(folder / "teacher.safetensors", "sgi_teacher")
    offsets = [Offset.load(path) for path in sorted((folder / "offsets").glob("*.safetensors"))]
    text = _card(generator, teacher, offsets, Artifact.read(folder / MODEL.name), data_files(folder), folder)
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text(text)


def offset_table(offsets: list[Offset]) -> str:
    """Markdown table of the held-out scores of every offset and of its best baseline."""
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
    """Markdown table of the errors of the teacher and of the constant mean map on held-out renders; figures: rows."""
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

A StyleGAN2 of {artifact.resolution} px, trained by the code of this project on its procedural rooms; a teacher
trained on the exact maps of the same rooms; and offsets that turn the images of the generator into maps. Apache-2.0,
like the code. No data from other sources was used. `make bundle` builds all files again from scratch.

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
the maps minus their 9x9 box blur, which measures detail.

{offset_table(offsets)}

`sgi-engine score --type all` measures these figures again.

## Exported model
{", ".join(artifact.type_names)}; opset {artifact.opset}; largest difference from torch through any runtime, as a
fraction of a type's range: {max(errors):.1e}.

## Limits
Rooms of one procedural family, {artifact.resolution} px. Maps are as soft as the generator's pictures: small
furniture is blurred. Scores measure agreement with the teacher, whose errors are listed above. Depth is
relative to 6 m of these rooms and has no meaning for other scenes.
"""
