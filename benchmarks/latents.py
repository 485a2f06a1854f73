"""Seeds a second whose latents are drawn on one core: a generator for each seed, and one that is seeded again.

python benchmarks/latents.py [Z_DIM]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from record import append

from sgi.engine.seeds import latents

BATCH, BATCHES, TURNS = 32, 60, 5


def one_each(seeds: Sequence[int], z_dim: int) -> np.ndarray:
    """The definition: a RandomState for each seed."""
    return np.concatenate([np.random.RandomState(seed).randn(1, z_dim) for seed in seeds])


def rate(draw: Callable[[Sequence[int], int], np.ndarray], z_dim: int) -> float:
    """Seeds a second, the fastest of some turns."""
    least = float("inf")
    for _ in range(TURNS):
        start = time.perf_counter()
        for i in range(BATCHES):
            draw(range(i * BATCH, (i + 1) * BATCH), z_dim)
        least = min(least, time.perf_counter() - start)
    return BATCH * BATCHES / least


def main(z_dim: int) -> None:
    """Append both rates."""
    cases = {"a RandomState for each seed": one_each, "sgi.engine.seeds.latents": latents}
    append("latents", {name: round(rate(draw, z_dim)) for name, draw in cases.items()} | {"z_dim": z_dim})


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 512)
