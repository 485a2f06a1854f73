"""Weighted sums of offset files; the function behind `sgi-engine combine`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

from sgi.engine.arguments import check_factor
from sgi.engine.errors import UserError
from sgi.engine.files import check_writable
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
    offsets: Sequence[str | Path],
    *,
    out: str | Path,
    weights: Sequence[float] | None = None,
    mixed_types: bool = False,
) -> CombinedOffset:
    """Add offset files, each times its weight (None: 1 each), and write the sum to `out`.

    mixed_types: whether maps of different types may be added, which gives no map of either type.

    Raises UserError, naming the parameter, for a wrong number of weights, weights that are 0 or beyond -100 to 100,
    a sum of 0, one file without a weight, a name without .safetensors, offsets of different generators or samplings,
    and of different types without `mixed_types`.

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
    for factor in factors:
        check_factor("weights", factor)
    if 0 in factors:
        raise UserError(f"`weights=0`: {paths[factors.index(0)]} would have no effect; leave it out")
    if len(paths) == 1 and not weights:
        raise UserError("`weights` is missing: a single offset needs a weight")
    if target.suffix != ".safetensors":
        raise UserError(f"`out={out}`: the name of an offset file ends in .safetensors")
    for path in paths:
        if target.exists() and path.exists() and target.samefile(path):
            raise UserError(f"`out={out}`: it is one of the offsets; choose another name for the sum")
    check_writable(target)
    loaded = [Offset.load(path) for path in paths]
    kinds = list(dict.fromkeys(kind for offset in loaded for kind in offset.types))
    if len(kinds) > 1 and not mixed_types:
        raise UserError(
            f"`offsets`: they are of the types {', '.join(kinds)}, and their sum is a map of none of them; add offsets "
            "of one type, or set `mixed_types=True`"
        )
    if len(kinds) == 1 and mixed_types:
        raise UserError(f"`mixed_types=True` has no effect: all offsets are of the type {kinds[0]}; leave it out")
    total = reduce(Offset.plus, [offset.scaled(factor) for offset, factor in zip(loaded, factors, strict=True)])
    if not any(array.any() for array in total.tensors.values()):
        raise UserError("`weights`: the offsets cancel each other, and their sum has no effect; choose other weights")
    total.save(target)
    return CombinedOffset(total, target, list(zip(factors, paths, strict=True)))
