"""`sgi-engine combine`: a weighted sum of offsets as one offset."""

from __future__ import annotations

import math
from functools import reduce
from pathlib import Path
from typing import Annotated

import typer

from sgi.engine.errors import UserError

SUFFIX = ".safetensors"


def combine(
    files: Annotated[
        list[Path], typer.Argument(metavar="OFFSET...", help="Offset files, the first of the sum's type.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Offset file to write.")],
    weight: Annotated[
        list[float] | None, typer.Option("--weight", help="Of each file, in their order; repeat it. Default: 1 each.")
    ] = None,
) -> None:
    """Add offsets up, each times its weight: average fits, add a direction to a map, go part of the way."""
    from rich.console import Console

    from sgi.engine.offsets import Offset

    weights = weight or [1.0] * len(files)
    if len(weights) != len(files):
        raise UserError(f"--weight: {len(weights)} weights for {len(files)} files; give one for each")
    if not all(map(math.isfinite, weights)):
        raise UserError(f"--weight {' '.join(map(str, weights))}: weights must be finite")
    if len(files) == 1 and not weight:
        raise UserError("one offset and no --weight: there is nothing to combine")
    if out.suffix != SUFFIX:
        raise UserError(f"--out {out}: the name of an offset file ends in {SUFFIX}")
    terms = [Offset.load(path).scaled(factor) for path, factor in zip(files, weights, strict=True)]
    total = reduce(Offset.plus, terms)
    total.save(out)
    terms_text = " + ".join(f"{factor:g} x {path.name}" for path, factor in zip(files, weights, strict=True))
    console = Console(markup=False, highlight=False)
    console.print(f"wrote {out}: {terms_text}, {total.type} in {total.space}", soft_wrap=True)
    console.print(f"A sum has no score yet: `sgi-engine score --offset {out}`.", soft_wrap=True)
