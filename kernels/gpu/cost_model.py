"""The time of a matrix product by block shape, from measured rates: the choice of a block without measurements.

A multiprocessor is bound by its rate when it has many blocks, and by the duration of a block when it has few. Blocks
that run on a multiprocessor together are counted by their shared memory. `benchmarks/gpu/choices.py` compares the
choices with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sgi.kernels.gpu.tune import Config

SHARED_BYTES = 227 * 1024  # of a multiprocessor, for blocks; H100
OPERAND_BYTES = 2
# Rows x columns of the block for which `Product.epilogue_us` is given, with 4 warps.
UNIT_BLOCK = 128 * 128
UNIT_WARPS = 4


@dataclass(frozen=True)
class Product:
    """A kind of matrix product.

    taps: of a row on average, longest: of the rows with the most taps; equal: whether all blocks have the same number
    of steps, so that they start and end together. epilogue_us: time after the last step of a block of UNIT_BLOCK,
    fitted to measured layers.
    """

    taps: float
    longest: int
    equal: bool
    epilogue_us: float


CONVOLUTION = Product(9, 9, True, 14.0)
PHASES = Product(9, 9, True, 4.0)  # an epilogue without to-rgb
TRANSPOSED = Product(9 / 4, 4, False, 8.0)


def microseconds(config: Config, rows: int, inner: int, columns: int, processors: int, product: Product) -> float:
    """Predicted time of `rows` x `columns` sums over `inner` input channels; `processors`: multiprocessors."""
    area = config.bm * config.bn
    blocks = -(-rows // config.bm) * -(-columns // config.bn)
    together = max(1, SHARED_BYTES // ((config.bm + config.bn) * config.bk * OPERAND_BYTES * config.stages))
    share, turns = blocks / processors, blocks / (processors * together)
    if product.equal:
        share, turns = -(-blocks // processors), -(-blocks // (processors * together))
    rate_bound = max(1.0, share) * area * product.taps * inner * 2 * processors / (config.rate * 1e6)
    steps = max(turns * product.taps, product.longest) * -(-inner // config.bk)
    epilogue = product.epilogue_us * area / UNIT_BLOCK * UNIT_WARPS / config.warps
    return max(rate_bound, steps * config.step_us) + epilogue
