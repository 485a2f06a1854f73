"""Disjoint ranges of seeds for fitting and for scoring, so that offsets are scored on pictures they were not fitted to.

The 2^32 seeds are divided into three parts: the lowest quarter is held out for scores (it contains the small seeds that
users render), the next quarter is for choosing settings by their scores, and the upper half is for fitting. The upper
half is divided into streams, so that fits with different values of `seed` use different pictures.
"""

from __future__ import annotations

from sgi.engine.errors import UserError

SPLITS = {"holdout": range(2**30), "choosing": range(2**30, 2**31)}
FITTING = range(2**31, 2**32)
STREAM_LENGTH = 2**20
STREAMS = len(FITTING) // STREAM_LENGTH


def fitting_seeds(count: int, stream: int) -> range:
    """Return the first `count` seeds of a fitting stream; raises UserError, naming `images` or `seed`."""
    if not 1 <= count <= STREAM_LENGTH:
        raise UserError(f"`images={count}`: choose from 1 to {STREAM_LENGTH}")
    if not 0 <= stream < STREAMS:
        raise UserError(f"`seed={stream}`: choose from 0 to {STREAMS - 1}")
    start = FITTING.start + stream * STREAM_LENGTH
    return range(start, start + count)


def scoring_seeds(count: int, split: str = "holdout") -> range:
    """Return the first `count` seeds of a split, `holdout` or `choosing`.

    Raises UserError, naming `holdout` or `split`.
    """
    if split not in SPLITS:
        raise UserError(f"`split={split}`: choose from {', '.join(SPLITS)}")
    if not 2 <= count <= STREAM_LENGTH:
        raise UserError(f"`holdout={count}`: choose from 2 to {STREAM_LENGTH}")
    return SPLITS[split][:count]


def describe(seeds: range) -> str:
    """Return the seeds in the form of the `seeds` parameter, such as 0-255."""
    return f"{seeds[0]}-{seeds[-1]}"
