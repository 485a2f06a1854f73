"""Which seeds are for what, so that no picture an offset is scored on can have been fitted on.

The 2^32 seeds fall into three parts: scoring has the low ones (those users look at), choosing (of settings, while
looking at scores) the next quarter, fitting the upper half, cut into streams so that fits of another --seed see
other pictures.
"""

from __future__ import annotations

from sgi.engine.errors import UserError

SPLITS = {"holdout": range(2**30), "choosing": range(2**30, 2**31)}
FITTING = range(2**31, 2**32)
STREAM_LENGTH = 2**20
STREAMS = len(FITTING) // STREAM_LENGTH


def fitting_seeds(count: int, stream: int) -> range:
    """The first `count` seeds of a fitting stream; raises UserError, naming --images or --seed."""
    if not 1 <= count <= STREAM_LENGTH:
        raise UserError(f"--images {count}: choose from 1 to {STREAM_LENGTH}")
    if not 0 <= stream < STREAMS:
        raise UserError(f"--seed {stream}: choose from 0 to {STREAMS - 1}")
    start = FITTING.start + stream * STREAM_LENGTH
    return range(start, start + count)


def scoring_seeds(count: int, split: str = "holdout") -> range:
    """The first `count` seeds of a split, `holdout` or `choosing`; raises UserError, naming --holdout or --split."""
    if split not in SPLITS:
        raise UserError(f"--split {split}: choose from {', '.join(SPLITS)}")
    if not 2 <= count <= STREAM_LENGTH:
        raise UserError(f"--holdout {count}: choose from 2 to {STREAM_LENGTH}")
    return SPLITS[split][:count]


def describe(seeds: range) -> str:
    """The seeds as --seeds takes them, such as 0-255."""
    return f"{seeds[0]}-{seeds[-1]}"
