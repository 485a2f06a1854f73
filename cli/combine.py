"""`sgi-engine combine`: a weighted sum of offsets as one offset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sgi.cli.terminal import new_console


def combine(
    offsets: Annotated[
        list[Path], typer.Argument(metavar="OFFSET...", help="Offset files; the sum has the type of the first.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Offset file to write.")],
    weights: Annotated[
        list[float] | None,
        typer.Option("--weight", help="Weight of each file, in their order; repeat it. Default: 1 each."),
    ] = None,
    mixed_types: Annotated[bool, typer.Option("--mixed-types", help="Add offsets of different types.")] = False,
) -> None:
    """Add offsets, each times its weight: average fits of one type, or scale an offset.

    Offsets of different types are added only with --mixed-types: the sum is a map of none of the types.
    """
    from sgi.trainer.offsets.combine import combine_offsets

    combined = combine_offsets(offsets, out=out, weights=weights, mixed_types=mixed_types)
    terms = " + ".join(f"{weight:g} x {path.name}" for weight, path in combined.terms)
    console = new_console()
    offset = combined.offset
    console.print(f"wrote {combined.path}: {terms}, {offset.type} in {offset.space}", soft_wrap=True)
    console.print(f"A sum has no score yet: `sgi-engine score --offset {combined.path}`.", soft_wrap=True)
