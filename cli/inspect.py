"""`sgi-engine inspect`: what a file is, read from its header alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgi.engine.errors import UserError, one_line

if TYPE_CHECKING:
    from rich.table import Table

    from sgi.engine.artifact import Artifact

SAFETENSORS = ".safetensors"
CHECKPOINTS = (".pkl", ".pickle", ".pt", ".pth", ".ckpt")
# Header key -> what the file is; the generator's and the teacher's are named here because their modules import torch.
KINDS = {"sgi_generator": "generator", "sgi_offset": "offset", "sgi_teacher": "teacher"}
_SIZE_UNIT = 1e6


def inspect(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A .safetensors, .onnx, .engine or .plan file, or a checkpoint.")
    ],
) -> None:
    """Say what a file is: a generator, a checkpoint, an offset or an exported model; nothing in it is executed."""
    from rich.console import Console

    console = Console(markup=False)
    for table in _tables(file):
        console.print(table)


def _tables(path: Path) -> list[Table]:
    from sgi.engine.artifact import Artifact

    if path.suffix in CHECKPOINTS:
        return [_checkpoint_table(path)]
    if path.suffix == SAFETENSORS:
        header = read_header(path)
        return [_checkpoint_table(path)] if header is None else _safetensors_tables(path, *header)
    return _model_tables(path, Artifact.read(path))


def read_header(path: Path) -> tuple[str, dict[str, Any], dict[str, list[int]]] | None:
    """Read the header of one of our safetensors files: what it is, its JSON, and the shapes of its tensors.

    None for a whole safetensors file of another writer. Raises UserError if the file is missing, cut short or not
    safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as tensors:
            found = tensors.metadata() or {}
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
        for key, kind in KINDS.items():
            if key in found:
                return kind, dict(json.loads(found[key])), shapes
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy it again") from None
    except (ValueError, TypeError):
        raise UserError(f"{path}: its header is damaged; copy it again") from None
    return None


def _checkpoint_table(path: Path) -> Table:
    """Facts of a checkpoint of another code base, and whether `import` would take it."""
    try:
        from sgi.engine.generator.checkpoints import report
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(f'{path}: reading checkpoints needs torch: pip install "sgi-engine[export]"') from None
    facts = report(path)
    if "parameters" in facts:
        facts["parameters"] = f"{facts['parameters']:,}"
    refused = facts.pop("refused")
    verdict = {"refused": refused} if refused else {"import": f"sgi-engine import {path} -o {path.stem}.safetensors"}
    kind = facts.pop("format", "checkpoint")
    return _facts_table(path, kind, {name: _listed(value) for name, value in facts.items()} | verdict)


def _listed(value: object) -> object:
    return (", ".join(map(str, value)) or None) if isinstance(value, list) else value


def _safetensors_tables(path: Path, kind: str, header: dict[str, Any], shapes: dict[str, list[int]]) -> list[Table]:
    scores = header.get("score", {}).pop("rows", {}) if kind == "offset" else {}
    facts = {"parameters": f"{sum(map(math.prod, shapes.values())):,}", **header}
    if kind == "offset":
        facts["tensors"] = _tensors_text(shapes)
    tables = [_facts_table(path, kind, facts)]
    if scores:
        figures = list(next(iter(scores.values())))
        tables.append(_table("held-out score", "", *figures))
        for name, row in scores.items():
            tables[-1].add_row(name, *(_text(row.get(figure)) for figure in figures))
    return tables


def _tensors_text(shapes: dict[str, list[int]]) -> str:
    """Tensors of an offset, those of style and lora by the number of layers that they move."""
    from sgi.engine.offset_tensors import ROWS

    parts = [f"{ROWS} {shapes[ROWS]}"] if ROWS in shapes else []
    for kind in ("style", "lora"):
        # "lora.synthesis.b8.conv0.up" is of the layer "synthesis.b8.conv0".
        layers = {tuple(name.split(".")[1:4]) for name in shapes if name.startswith(f"{kind}.")}
        if layers:
            parts.append(f"{kind} of {len(layers)} layers")
    return ", ".join(parts)


def _model_tables(path: Path, artifact: Artifact) -> list[Table]:
    from dataclasses import asdict

    facts = asdict(artifact)
    outputs = _table("outputs", "type", "channels", "range", "meaning")
    facts.pop("types")
    for output in artifact.types:
        bounds = f"{output.low:g} to {output.high:g}"
        meaning = one_line(": ".join(part for part in (output.meaning, ", ".join(output.classes)) if part))
        outputs.add_row(output.name, str(output.channels), bounds, meaning)
    runtimes = facts["parity"].pop("runtimes", {})
    parity = _table("largest difference from torch, in parts of the range", "type", *runtimes)
    for name in artifact.type_names if runtimes else ():
        parity.add_row(name, *(_text(by_type.get(name, {}).get("max")) for by_type in runtimes.values()))
    return [_facts_table(path, "exported model", facts), outputs, *([parity] if runtimes else [])]


def _facts_table(path: Path, kind: str, facts: dict[str, Any]) -> Table:
    table = _table(f"{path}: {kind}, {path.stat().st_size / _SIZE_UNIT:.2f} MB")
    table.show_header = False
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _flat(facts):
        table.add_row(name, value)
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _flat(facts: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in facts.items():
        if isinstance(value, list) and value and all(isinstance(entry, dict) for entry in value):
            value = {str(i): entry for i, entry in enumerate(value)}
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((one_line(prefix + name), _text(value)))
    return rows


def _text(value: object) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return one_line(", ".join(value))
    return f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
