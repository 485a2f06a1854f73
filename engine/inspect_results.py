"""Kind and facts of results: run folders, manifests, reports, directions, sidecars, Triton repositories. Torch-free."""

from __future__ import annotations

import math
import os
from array import array
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from sgi.engine.budget import npy_header, open_regular, parse_json, read_bytes, read_npz, read_text
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import foreign
from sgi.engine.latents_file import LATENT_NAMES
from sgi.engine.pictures import open_picture
from sgi.engine.seeds import SEED_MAX

Found = tuple[str, dict[str, Any]]
_RUN, _REPORT, _TRITON = "run.json", "report.json", "config.pbtxt"
_FILES = (".safetensors", ".onnx", ".engine", ".plan", ".npy", ".jsonl", ".pkl", ".pt")
_SHOWN = 20  # names that the description of a folder lists
_LARGEST = 1 << 26  # bytes of a page or a configuration
_LONGEST_LINE = 1_201_000  # bytes of a line of a manifest of shards
# Keys of a JSON object -> its kind, and the fields to show; None for all. The first kind whose keys are present counts.
_JSON: tuple[tuple[set[str], str, tuple[str, ...] | None], ...] = (
    ({"verdicts", "rows", "held_out"}, "report of eval",
     ("sgi_engine", "generator", "teacher", "settings", "held_out", "core_minutes")),
    ({"what", "cases", "figures"}, "figures of ablate", ("what", "rows")),
    ({"checks", "figures"}, "figures of relight", ("scenes", "lights", "checks")),
    ({"model_sha256", "types", "psi"}, "settings of a run", None),
    ({"resolution", "z_dim", "types"}, "sidecar of an engine",
     ("resolution", "input", "z_dim", "w_dim", "c_dim", "psi", "builder")),
)  # fmt: skip


def describe_result(path: Path) -> Found | None:
    """Kind and facts of a file or folder that a command wrote; None for other suffixes.

    Raises UserError for a damaged file, for a folder and a JSON file that no command wrote, and for a shard of a run.
    """
    if path.name.startswith("shard-") and (path.absolute().parent / _RUN).is_file():
        raise UserError(f"{path}: a shard of a run; inspect its folder, {path.absolute().parent}")
    try:
        if path.is_dir():
            return _folder(path)
        reader = _READERS.get(path.suffix)
        return reader(path) if reader else None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, TypeError, KeyError, RecursionError, EOFError, SyntaxError):
        raise UserError(
            f"{path}: {'a file in it is' if path.is_dir() else 'it is'} incomplete or damaged; copy it again"
        ) from None


def _folder(path: Path) -> Found:
    names = sorted(entry.name for entry in path.iterdir())
    if _RUN in names:
        found = {file.name: _manifest(file)[1] for file in sorted(path.glob("manifest*.jsonl"))}
        item = next((f"{name}s" for name in _ITEMS if any(f"{name}s" in facts for facts in found.values())), "seeds")
        manifests = {name: facts.get(item, 0) for name, facts in found.items()}
        return "run folder", {**_json(path / _RUN)[1], f"finished {item}": manifests}
    for name in (_REPORT, "relight.json"):
        if name in names:
            kind, facts = _json(path / name)
            return f"folder of the {kind}", {**facts, "files": names[:_SHOWN]}
    if _TRITON in names:
        return "model of a Triton repository", {**_triton(path / _TRITON)[1], "files": names}
    inverted = any(name.endswith("_ws.safetensors") for name in names)  # with a run of its latents, also
    for kind, inside in () if inverted else (("Triton repository", _TRITON), ("folder of runs", _RUN)):
        models = [name for name in names if (path / name / inside).is_file()]
        if models:
            return kind, {"folders": models[:_SHOWN]}
    if what := foreign(path):
        raise UserError(f"{path}: {what}")
    if not any(name.endswith(_FILES) for name in names):
        raise UserError(f"{path}: a folder without files that sgi-engine writes")
    kind = "folder of inverted pictures" if inverted else "folder"
    files = [name for name in names if (path / name).is_file()]
    folders = [name for name in names if (path / name).is_dir()]
    facts = {"files": files[:_SHOWN], "number of files": len(files)}
    return kind, {**facts, "folders": folders[:_SHOWN]} if folders else facts


def _npy(path: Path) -> Found:
    with open_regular(path) as file:
        shape, _, dtype = npy_header(file)
        if math.prod(shape) * dtype.itemsize != os.fstat(file.fileno()).st_size - file.tell():
            raise ValueError("more or fewer numbers than its header claims")
    facts = {"shape": list(shape), "dtype": str(dtype)}
    if len(shape) == 3 and shape[1] == shape[2]:  # [channels, R, R]
        return "map", facts
    # Directions of relight are [K, rows of w+, w_dim], latents [N, dim] or [N, rows of w+, w_dim].
    kinds = {2: "latents", 3: "latents or directions in w+"}
    return kinds.get(len(shape), "array"), facts


def _npz(path: Path) -> Found:
    arrays = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in read_npz(path).items()}
    known = [name for name in LATENT_NAMES if name in arrays]
    return ("latents" if known or len(arrays) == 1 else "archive of arrays"), dict(islice(arrays.items(), _SHOWN))


def _json(path: Path) -> Found:
    values = parse_json(read_bytes(path), finite=False)
    if isinstance(values, dict):
        for keys, kind, shown in _JSON:
            if keys <= values.keys():
                return kind, {name: values[name] for name in shown or values if name in values}
        if values and all(isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in values.values()):
            return "manifest of a bundle", {name: f"{entry['bytes']} bytes" for name, entry in values.items()}
        if path.name == _RUN and "format" in values:
            return "settings of a run", values
    raise UserError(f"{path}: a JSON file that sgi-engine did not write")


def _manifest(path: Path) -> Found:
    numbers = array("Q")
    types: list[str] = []
    item = "seed"
    with open_regular(path) as file:
        while line := file.readline(_LONGEST_LINE):
            if line.endswith(b"\n"):  # the last line of an active run can be incomplete
                entry = _LINES.decode(line)
                item = next((name for name in _ITEMS if getattr(entry, name) is not None), "")
                if not item:
                    raise ValueError("a line of neither a shard, a seed nor a latent")
                number = getattr(entry, item)
                numbers.append(number)
                types = types or list(entry.files)
            elif len(line) == _LONGEST_LINE:
                raise ValueError("a line that is too long")
    distinct = np.unique(np.array(numbers, np.uint64))
    span = {f"first {item}": int(distinct[0]), f"last {item}": int(distinct[-1])} if len(distinct) else {}
    facts = {f"{item}s": len(distinct), **span}
    return "manifest of a run", facts if item == "shard" else {**facts, "types": types}


class _Line(msgspec.Struct):
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    latent: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    shard: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAX)] | None = None
    files: dict[str, str] = {}


_ITEMS = ("shard", "seed", "latent")
_LINES = msgspec.json.Decoder(_Line)


def _html(path: Path) -> Found:
    if "sgi-engine" not in _text(path):
        raise UserError(f"{path}: a page that sgi-engine did not write")
    return "report of eval", {"open it": "in a browser; report.json beside it has the figures"}


def _triton(path: Path) -> Found:
    text = _text(path)
    if "sgi_engine" not in text:
        raise UserError(f"{path}: a model configuration that sgi-engine did not write")
    lines = (line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith((" ", "}")))
    wanted = ("name", "platform", "backend", "max_batch_size")
    return "configuration of a Triton model", {k.strip(): v.strip(' "') for k, v in lines if k.strip() in wanted}


def _png(path: Path) -> Found:
    with open_picture(path) as picture:
        return "picture", {"width": picture.width, "height": picture.height, "mode": picture.mode}


def _text(path: Path) -> str:
    return read_text(path, _LARGEST)


_READERS = {
    ".npy": _npy, ".npz": _npz, ".json": _json, ".jsonl": _manifest, ".html": _html, ".pbtxt": _triton, ".png": _png,
}  # fmt: skip
RESULT_SUFFIXES = tuple(_READERS)
"""Suffixes of files that `describe_result` reads."""
