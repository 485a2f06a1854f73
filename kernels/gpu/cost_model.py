"""The time of a matrix product by block shape, from measured rates: the choice of a block without measurements.

A multiprocessor is bound by its rate when it has many blocks, and by the duration of a block when it has few. Blocks
that run on a multiprocessor together are counted by their shared memory. `benchmarks/gpu/choices.py` compares the
choices with measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

SHARED_BYTES = 227 * 1024  # of a multiprocessor, for blocks; H100
OPERAND_BYTES = 2
RATED_PROCESSORS = 132  # multiprocessors of the H100 that `block_rates` was measured on
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


def microseconds(
    shape: tuple[int, int, int, int, int],
    rate: float,
    step_us: float,
    rows: int,
    inner: int,
    columns: int,
    processors: int,
    product: Product,
) -> float:
    """Predicted time of `rows` x `columns` sums over `inner` input channels on `processors` multiprocessors.

    shape: bm, bn, bk, warps and stages of a block (`tune.Config`). rate: TFLOP/s of an H100 full of such blocks.
    step_us: duration of a step of a block that has little company.
    """
    bm, bn, bk, warps, stages = shape
    blocks = -(-rows // bm) * -(-columns // bn)
    together = max(1, SHARED_BYTES // ((bm + bn) * bk * OPERAND_BYTES * stages))
    share, turns = blocks / processors, blocks / (processors * together)
    if product.equal:
        share, turns = -(-blocks // processors), -(-blocks // (processors * together))
    rate_bound = max(1.0, share) * bm * bn * product.taps * inner * 2 * RATED_PROCESSORS / (rate * 1e6)
    steps = max(turns * product.taps, product.longest) * -(-inner // bk)
    epilogue = product.epilogue_us * bm * bn / UNIT_BLOCK * UNIT_WARPS / warps
    return max(rate_bound, steps * step_us) + epilogue
