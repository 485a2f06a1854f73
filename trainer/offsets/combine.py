"""Weighted sums of offset files; the function behind `sgi-engine combine`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from sgi.engine.errors import UserError
from sgi.engine.offsets import Offset


@dataclass(frozen=True)
class CombinedOffset:
    """The result of `combine_offsets`.

    offset: the sum, with the type of the first file and without a score. path: its file. terms: (weight, file) in the
    order of the files.
    """

    offset: Offset
    path: Path
    terms: list[tuple[float, Path]]


def combine_offsets(
    offsets: Sequence[str | Path], *, out: str | Path, weights: Sequence[float] | None = None
) -> CombinedOffset:
    """Add offset files, each times its weight (None: 1 each), and write the sum to `out`.

    Raises UserError, naming the parameter, for a wrong number of weights, weights that are not finite, one file without
    a weight, a name without .safetensors, and offsets of different generators or samplings.

    >>> from sgi.engine import bundle
    >>> from sgi.trainer.offsets.combine import combine_offsets
    >>> total = combine_offsets([bundle.offset("depth")], out="/tmp/half.safetensors", weights=[0.5])
    >>> total.offset.type, total.offset.fit["alpha"]
    ('depth', 0.5)
    """
    paths, target = [Path(path) for path in offsets], Path(out)
    factors = list(weights) if weights else [1.0] * len(paths)
    if len(factors) != len(paths):
        raise UserError(f"`weights`: {len(factors)} weights for {len(paths)} files; pass one for each")
    if not all(map(math.isfinite, factors)):
        raise UserError(f"`weights={' '.join(map(str, factors))}`: weights must be finite")
    if len(paths) == 1 and not weights:
        raise UserError("`weights` is missing: a single offset needs a weight")
    if target.suffix != ".safetensors":
        raise UserError(f"`out={out}`: the name of an offset file ends in .safetensors")
    total = reduce(Offset.plus, [Offset.load(path).scaled(factor) for path, factor in zip(paths, factors, strict=True)])
    total.save(target)
    return CombinedOffset(total, target, list(zip(factors, paths, strict=True)))
