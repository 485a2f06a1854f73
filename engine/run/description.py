"""The description of the data set in run.json: what a reader needs to use the maps without this program."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from sgi.engine.artifact import Artifact
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.latents_file import Latents
from sgi.engine.run.record import RunRecord
from sgi.engine.version import __version__
from sgi.engine.writers import deflate

_NPY = "float32 [channels, row, column] in C order: the values"
_PNG_16 = "16-bit grey: value = low + code / 65535 * (high - low)"
_PNG_CLASSES = "indexed: a pixel is the index of the class in `classes`"
_PNG_8 = {
    "identity": "value = low + u * (high - low)",
    "inverse": "value = low + (1 - u) * (high - low)",
    "linear": "value = low + linear(u) * (high - low), linear: inverse of the sRGB transfer function (IEC 61966-2-1)",
    "unit": "value = n / sqrt(|n|^2 + 1e-6), n = 2 u - 1",
}


def describe(artifact: Artifact, record: RunRecord, latents: Latents | None = None) -> dict[str, Any]:
    """Facts for run.json: versions, model, recipe of latents, names of files, axes, and types with encodings.

    latents: those of the run, None for seeds.
    """
    backend = getattr(sys.modules.get(record.backend), "__version__", None)
    versions = {"sgi-engine": __version__, "python": platform.python_version(), "numpy": np.__version__}
    if record.file_format == "png":
        name, version = deflate.library()
        versions[name] = version
    names = (
        "resolution", "z_dim", "c_dim", "cutoff", "noise_mode", "precision", "generator", "offsets", "graph_sha256",
    )  # fmt: skip
    return {
        "versions": versions if backend is None else {**versions, record.backend: backend},
        **_recipe(artifact, record, latents),
        "model": {name: getattr(artifact, name) for name in names},
        "names": (
            f"{record.item}N_TYPE, N with {record.digits} digits; " + _folders(record) + "; manifest.jsonl and "
            "metadata.jsonl list all files"
        ),
        "axes": "row 0 is the top of the image, column 0 its left; channels of colours are red, green, blue, alpha",
        "maps": [
            {**asdict(kind), "encoding": _encoding(kind, record.file_format)}
            for kind in map(artifact.output, record.types)
        ],
    }


def _recipe(artifact: Artifact, record: RunRecord, latents: Latents | None) -> dict[str, Any]:
    if latents is not None:
        files = [{"name": name, "latents": count} for name, count in latents.files]
        return {"latents": f"{latents.kind} of the rows of these files, in this order", "latents_files": files}
    recipe = f"z of a seed: numpy.random.RandomState(seed).randn(1, {artifact.z_dim}), as float32"
    if record.mix_seed is not None:
        recipe += f"; rows {record.mix_rows} of w+ are those of seed {record.mix_seed}"
    return {"latents": recipe}


def _folders(record: RunRecord) -> str:
    count = record.seeds_per_folder
    return f"{record.item}s from {count} on in subfolder N // {count}, with 5 digits" if count else "no subfolders"


def _encoding(kind: Intrinsic, file_format: str) -> str:
    """How the numbers in a file become values; the name of the format for a plugin's."""
    if file_format == "npy":
        return _NPY
    if file_format != "png":
        return f"format {file_format} of a plugin"
    if kind.decoding == "palette":
        return _PNG_CLASSES
    if kind.png_bits == 16:
        return _PNG_16
    colours = {1: "grey", 4: "RGBA"}.get(kind.channels, "RGB")
    return f"8-bit {colours}: {_PNG_8[kind.decoding]}, u = code / 255"
