"""The settings of a run folder in words, for people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sgi.engine.run.record import RunRecord
from sgi.engine.view.run_part import Index

_FILES = 3  # of latents that are named


def settings_of(path: Path, index: Index, folders: int) -> dict[str, str]:
    """{label: text} of the settings of a run; of the first folder where a run has several.

    folders: their number.
    """
    record, model = index.job.record, _mapping(index.facts.get("model"))
    weights = record.class_weights and ", ".join(f"{name}: {weight:g}" for name, weight in record.class_weights)
    shards = record.shard_size and f"{record.shard_size} {record.item}s a shard, {record.dtype}, {record.compression}"
    files = index.facts.get("latents_files")
    names = [_text(_mapping(row).get("name")) for row in files[:_FILES]] if isinstance(files, list) else []
    found = {
        "folder": str(path.absolute()),
        "model": f"SHA-256 {record.model_sha256[:12]}...",
        "types": ", ".join(record.types),
        "resolution": f"{index.types.resolution} px",
        "psi": "" if record.psi is None else f"{record.psi:g}",
        "cutoff": _text(model.get("cutoff")),
        "class": "" if folders > 1 else weights or _text(record.class_index),
        "style mixing": f"rows {record.mix_rows} of seed {record.mix_seed}" if record.mix_seed is not None else "",
        "latents": f"{record.latents_kind} of {', '.join(names) or 'files'}" if record.latents_kind else "",
        "offsets": ", ".join(f"{name}{_alpha(facts)}" for name, facts in _mapping(model.get("offsets")).items()),
        "noise": _text(model.get("noise_mode")),
        "format": record.file_format,
        "shards": shards or "",
        "backend": f"{record.backend} on {record.device}",
        "precision": record.precision or _text(model.get("precision")),
        "batch": _text(record.batch),
        "versions": ", ".join(f"{name} {version}" for name, version in _mapping(index.facts.get("versions")).items()),
    }
    return {label: text for label, text in found.items() if text}


def generator_of(facts: dict[str, Any]) -> str | None:
    """The hash of the generator in the facts of run.json, None where they do not state it."""
    return _text(_mapping(_mapping(facts.get("model")).get("generator")).get("sha256")) or None


def screen_of(record: RunRecord, facts: dict[str, Any]) -> dict[str, Any]:
    """The fields of a screen besides the seed that show what a run with these settings made; {} of latents.

    facts: of run.json, which have the factors of offsets.
    """
    if record.latents_sha256 is not None:
        return {}
    label = record.label
    weights = ",".join(f"{name}:{weight!r}" for name, weight in label.items()) if isinstance(label, dict) else label
    mix = None if record.mix_seed is None else {"seed": record.mix_seed, "rows": record.mix_rows}
    offsets = _mapping(_mapping(facts.get("model")).get("offsets"))
    alphas = {name: _mapping(offsets.get(name)).get("alpha", 1.0) for name in record.types}
    changed = {name: float(alpha) for name, alpha in alphas.items() if isinstance(alpha, int | float) and alpha != 1}
    return {"psi": record.psi, "class": None if weights is None else str(weights), "mix": mix, "alpha": changed}


def _mapping(value: object) -> dict[str, Any]:
    """A part of run.json, which people can change; {} for something else."""
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _alpha(facts: object) -> str:
    """The factor of an offset, where it is another than 1."""
    alpha = _mapping(facts).get("alpha", 1.0)
    return "" if alpha == 1.0 else f" (alpha {alpha})"
