"""`sgi-engine inspect`: what a file is, read from its header alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sgi.engine.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from sgi.engine.artifact import Artifact

SAFETENSORS = ".safetensors"
# Header key -> what the file is; the generator's and the teacher's are named here because their modules import torch.
KINDS = {"sgi_generator": "generator", "sgi_offset": "offset", "sgi_teacher": "teacher"}
_SIZE_UNIT = 1e6


def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors, .onnx, .engine or .plan file.")],
) -> None:
    """Say what a file is: a generator, an offset or an exported model."""
    from rich.console import Console

    from sgi.engine.artifact import Artifact

    tables = _safetensors_tables(file) if file.suffix == SAFETENSORS else _model_tables(file, Artifact.read(file))
    console = Console()
    for table in tables:
        console.print(table)


def read_header(path: Path) -> tuple[str, dict[str, Any], int]:
    """Read the header of one of our safetensors files: what it is, its JSON, and its number of parameters.

    Raises UserError if the file is missing, cut short, not safetensors, or without a header of ours.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as tensors:
            found = tensors.metadata() or {}
            parameters = sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        for key, kind in KINDS.items():
            if key in found:
                return kind, dict(json.loads(found[key])), parameters
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}); copy it again") from None
    except (ValueError, TypeError):
        raise UserError(f"{path}: its header is damaged; copy it again") from None
    raise UserError(f"{path}: a safetensors file that sgi-engine did not write; convert it with `sgi-engine import`")


def _safetensors_tables(path: Path) -> list[Table]:
    kind, header, parameters = read_header(path)
    scores = header.get("score", {}).pop("rows", {}) if kind == "offset" else {}
    facts = {"parameters": f"{parameters:,}", **header}
    tables = [_facts_table(path, kind, facts)]
    if scores:
        figures = list(next(iter(scores.values())))
        tables.append(_table("held-out score", "", *figures))
        for name, row in scores.items():
            tables[-1].add_row(name, *(_text(row.get(figure)) for figure in figures))
    return tables


def _model_tables(path: Path, artifact: Artifact) -> list[Table]:
    from dataclasses import asdict

    facts = asdict(artifact)
    outputs = _table("outputs", "type", "channels", "range", "meaning")
    for output in facts.pop("types"):
        bounds = f"{output['low']:g} to {output['high']:g}"
        outputs.add_row(output["name"], str(output["channels"]), bounds, output["meaning"])
    return [_facts_table(path, "exported model", facts), outputs]


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
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _text(value)))
    return rows


def _text(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
