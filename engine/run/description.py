"""The description of the data set in run.json: what a reader needs to use the maps without this program."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.backends import BACKENDS
from sgi.engine.codes import formula
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.latents_file import Latents
from sgi.engine.run.record import RunRecord
from sgi.engine.version import __version__
from sgi.engine.writers import deflate

_OF_PNG_FILES = ("png", "webdataset", "parquet")
"""Formats whose bytes depend on what compresses PNG files."""
_NPY = "float32 [channels, row, column] in C order: the values"


def describe(artifact: Artifact, record: RunRecord, latents: Latents | None = None) -> dict[str, Any]:
    """Facts for run.json: versions, model, recipe of latents, names of files, axes, and types with encodings.

    latents: those of the run, None for seeds.
    """
    package = BACKENDS[record.backend].package if record.backend in BACKENDS else record.backend
    backend = getattr(sys.modules.get(package or ""), "__version__", None)
    versions = {"sgi-engine": __version__, "python": platform.python_version(), "numpy": np.__version__}
    if record.file_format in _OF_PNG_FILES:
        name, version = deflate.library()
        versions[name] = version
    names = (
        "resolution", "z_dim", "c_dim", "cutoff", "noise_mode", "precision", "generator", "offsets", "graph_sha256",
    )  # fmt: skip
    return {
        "versions": versions if backend is None else {**versions, record.backend: backend},
        **_recipe(artifact, record, latents),
        "model": {name: getattr(artifact, name) for name in names},
        "names": _names(record),
        "axes": "row 0 is the top of the image, column 0 its left; channels of colours are red, green, blue, alpha",
        "maps": [{**asdict(kind), "encoding": _encoding(kind, record)} for kind in map(artifact.output, record.types)],
    }


def _recipe(artifact: Artifact, record: RunRecord, latents: Latents | None) -> dict[str, Any]:
    if latents is not None:
        files = [{"name": name, "latents": count} for name, count in latents.files]
        return {"latents": f"{latents.kind} of the rows of these files, in this order", "latents_files": files}
    recipe = f"z of a seed: numpy.random.RandomState(seed).randn(1, {artifact.z_dim}), as float32"
    if record.mix_seed is not None:
        recipe += f"; rows {record.mix_rows} of w+ are those of seed {record.mix_seed}"
    return {"latents": recipe}


def _names(record: RunRecord) -> str:
    if form := record.shard_format:
        return (
            f"shard-N{form.suffix}, N with 6 digits: {record.item}s number N * {record.shard_size} and the following "
            "of the list, in its order; manifest.jsonl lists all shards"
        )
    count = record.seeds_per_folder
    folders = f"{record.item}s from {count} on in subfolder N // {count}, with 5 digits" if count else "no subfolders"
    return (
        f"{record.item}N_TYPE, N with {record.digits} digits; {folders}; manifest.jsonl and metadata.jsonl list all "
        "files"
    )


def _encoding(kind: Intrinsic, record: RunRecord) -> str:
    """How the numbers in a file become values; the name of the format for a plugin's."""
    if form := record.shard_format:
        return form.encoding(kind, record.dtype or "")
    if record.file_format == "npy":
        return _NPY
    return formula(kind) if record.file_format == "png" else f"format {record.file_format} of a plugin"
