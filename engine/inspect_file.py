"""Facts of any file that sgi-engine reads or writes, without loading a network and without executing anything in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sgi.engine.artifact import ONNX_SUFFIX, SIDECAR_SUFFIXES, Artifact
from sgi.engine.budget import check_safetensors, is_regular, parse_json
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import OWN_KINDS, foreign
from sgi.engine.inspect_results import RESULT_SUFFIXES, describe_result
from sgi.engine.model_file import read_model
from sgi.engine.offset_tensors import ROWS

SAFETENSORS = ".safetensors"
_SHOWN_ROWS, _SHOWN_FIGURES = 50, 20  # of a table of scores
CHECKPOINTS = (".pkl", ".pickle", ".pt", ".pth", ".ckpt")
KINDS = {f"sgi_{kind}": kind for kind in OWN_KINDS}
"""Header key of our safetensors files -> what the file contains. The modules that define most of them import torch."""


@dataclass(frozen=True)
class Section:
    """A table of figures in a report: `rows` maps a row's name to its cells, one for each of `columns`."""

    title: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class FileReport:
    """Description of a file.

    kind: "exported model", a kind of `sgi.engine.foreign_file.OWN_KINDS` such as "generator", a kind of
    `sgi.engine.inspect_results` such as "run folder", or the name of a checkpoint format. size: bytes, of a folder
    with its files. facts: JSON values, nested as in the file. sections: tables beside the facts.
    """

    path: Path
    kind: str
    size: int
    facts: dict[str, Any]
    sections: tuple[Section, ...] = ()


def inspect_file(path: str | Path) -> FileReport:
    """Describe a file or folder that a command wrote, or a StyleGAN2 checkpoint.

    Files: generators, offsets, teachers, discriminators, latents, exported models (.onnx, .engine, .plan) and their
    sidecars, arrays of latents, directions, maps, manifests, reports. Folders: of runs, reports, inverted pictures,
    Triton repositories.

    For a checkpoint, `facts` holds `refused`, the reason why `import` rejects it, or `supported` and `import`, the
    command for it; reading checkpoints needs torch.

    Raises UserError for a file that is missing, damaged or of none of these kinds.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not path.is_file() and not path.is_dir():
        raise UserError(f"{path}: neither a file nor a folder, but a device or a pipe")
    result = describe_result(path)
    if result is not None:
        files = path.rglob("*") if path.is_dir() else [path]
        return FileReport(path, result[0], sum(file.lstat().st_size for file in files if is_regular(file)), result[1])
    if path.suffix == SAFETENSORS:
        header = read_header(path)
        return _checkpoint(path) if header is None else _safetensors(path, *header)
    if path.suffix in (ONNX_SUFFIX, *SIDECAR_SUFFIXES):
        return _model(path, Artifact.read(path))
    if path.suffix in CHECKPOINTS or foreign(path):
        return _checkpoint(path)  # the error names the kind of a foreign file
    known = ", ".join((SAFETENSORS, ONNX_SUFFIX, *SIDECAR_SUFFIXES, *RESULT_SUFFIXES, *CHECKPOINTS))
    raise UserError(f"{path}: not a file that sgi-engine reads or writes; these end in {known}")


def read_header(path: Path) -> tuple[str, dict[str, Any], dict[str, list[int]]] | None:
    """Kind, JSON header and tensor shapes of one of our safetensors files; None for a file of another program.

    Raises UserError if the file is missing, cut short or not safetensors, or if its header is damaged.
    """
    try:
        check_safetensors(path)
        with safe_open(str(path), framework="np") as tensors:
            found = tensors.metadata() or {}
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        for key, kind in KINDS.items():
            if key in found:
                return kind, _header(path, found[key]), shapes
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a complete safetensors file ({foreign(path) or error}); copy it again") from None
    except ValueError:
        what = foreign(path)
        reason = f"not a safetensors file but {what}" if what else "its header is damaged; copy it again"
        raise UserError(f"{path}: {reason}") from None
    return None


def _header(path: Path, text: str) -> dict[str, Any]:
    try:
        return dict(parse_json(text, finite=False))
    except (ValueError, TypeError):
        raise UserError(f"{path}: its header is damaged; copy it again") from None


def _checkpoint(path: Path) -> FileReport:
    from sgi.engine.generator.checkpoints import report

    facts = report(path)
    kind = facts.pop("format", "checkpoint")
    if facts["refused"] is None:
        del facts["refused"]
        facts = {"supported": "yes", **facts}
        facts["import"] = f"sgi-engine import {path} --out {path.stem}{SAFETENSORS}"
    return FileReport(path, kind, path.stat().st_size, facts)


def _safetensors(path: Path, kind: str, header: dict[str, Any], shapes: dict[str, list[int]]) -> FileReport:
    facts = {"parameters": sum(map(math.prod, shapes.values())), **header}
    sections: tuple[Section, ...] = ()
    if kind == "offset":
        facts["tensors"] = _offset_tensors(shapes)
        score = facts.get("score")
        rows = score.get("rows") if isinstance(score, dict) else None
        if isinstance(score, dict) and isinstance(rows, dict) and _is_table(rows):
            facts["score"] = {name: value for name, value in score.items() if name != "rows"}
            sections = (_scores(rows),)
    return FileReport(path, kind, path.stat().st_size, facts, sections)


def _is_table(rows: dict[str, Any]) -> bool:
    return bool(rows) and all(isinstance(row, dict) for row in rows.values())


def _scores(rows: dict[str, dict[str, Any]]) -> Section:
    figures = tuple(next(iter(rows.values())))[:_SHOWN_FIGURES]
    rows = dict(islice(rows.items(), _SHOWN_ROWS))
    return Section(
        "held-out score", figures, {name: tuple(row.get(figure) for figure in figures) for name, row in rows.items()}
    )


def _offset_tensors(shapes: dict[str, list[int]]) -> list[str]:
    """The shape of an offset's rows, and the number of layers that its style and lora tensors change."""
    parts = [f"{ROWS} {shapes[ROWS]}"] if ROWS in shapes else []
    for kind in ("style", "lora"):
        # "lora.synthesis.b8.conv0.up" belongs to the layer "synthesis.b8.conv0".
        layers = {tuple(name.split(".")[1:4]) for name in shapes if name.startswith(f"{kind}.")}
        if layers:
            parts.append(f"{kind} of {len(layers)} layers")
    return parts


def _model(path: Path, artifact: Artifact) -> FileReport:
    facts = asdict(artifact)
    del facts["types"]
    if path.suffix == ONNX_SUFFIX:
        read_model(path, artifact)  # raises UserError for a damaged graph
    if artifact.graph_sha256 is None:
        facts["graph_sha256"] = "none: opening cannot detect damaged weights; export it again to add it"
    outputs = {
        output.name: (
            output.channels,
            f"{output.low:g} to {output.high:g}",
            ": ".join(part for part in (output.meaning, ", ".join(output.classes)) if part),
        )
        for output in artifact.types
    }
    sections = [Section("outputs", ("channels", "range", "meaning"), outputs)]
    facts["parity"] = dict(facts["parity"])
    runtimes = dict(islice(facts["parity"].pop("runtimes", {}).items(), _SHOWN_FIGURES))
    if runtimes:
        differences = {
            name: tuple(by_type.get(name, {}).get("max") for by_type in runtimes.values())
            for name in artifact.type_names
        }
        title = "largest difference from torch, as a fraction of the range"
        sections.append(Section(title, tuple(runtimes), differences))
    return FileReport(path, "exported model", path.stat().st_size, facts, tuple(sections))
