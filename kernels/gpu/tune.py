"""Block shapes: a list, a cost model that chooses from it, and optional measurements that are stored on disk.

By default the cost model chooses, so that results are reproducible: another block shape sums in another order, which
changes the last bits. Within `tuning(True)` the shapes are timed on the GPU, once per problem size and GPU.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

from sgi.kernels.gpu.block_rates import RATES, STEP_US
from sgi.kernels.gpu.cost_model import CONVOLUTION, Product, microseconds
from sgi.kernels.gpu.dispatch import multiprocessors


@dataclass(frozen=True)
class Config:
    """A block of `bm` rows x `bn` columns with `bk` input channels per step.

    warps, stages: of the launch. rate: TFLOP/s of a GPU that is full of blocks; step_us: duration of a step of a block
    that has little company, 0 if unknown. `candidates` sets both from `block_rates`; for float32 rate is an estimate.
    """

    bm: int
    bn: int
    bk: int
    warps: int
    stages: int
    rate: float = 1.0
    step_us: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """bm, bn, bk, warps and stages."""
        return self.bm, self.bn, self.bk, self.warps, self.stages

    def fitted(self, inner: int, columns: int) -> Config:
        """The config with no side wider than the operands need, and at least 16, the minimum of tl.dot."""
        return replace(self, bn=min(self.bn, _block(columns)), bk=min(self.bk, _block(inner)))


def _block(size: int) -> int:
    return max(16, 1 << (size - 1).bit_length())


# 16-bit operands: the fastest block of each width, and blocks for layers of few pixels. The other shapes of the sweep
# in `block_rates` were the fastest for no layer.
HALF_CONFIGS = (
    Config(128, 256, 64, 8, 4),
    Config(128, 256, 64, 8, 3),
    Config(128, 128, 64, 4, 3),
    Config(128, 64, 64, 4, 3),
    Config(256, 32, 32, 4, 3),
    Config(64, 64, 64, 4, 4),
    Config(64, 32, 64, 4, 4),
    Config(16, 32, 128, 4, 4),
)
# The widest block has too few registers for the epilogue of the phases form, for rows of several images and, before
# compute capability 9.0, which reads matrices from shared memory, for to-rgb.
HEAVY_MAX_COLUMNS = 128
# Before compute capability 9.0 this block spills registers in the up-convolution's gradient (stride 2), with any number
# of stages.
SPILLING_GRADIENT_BLOCK = (64, 64, 64, 4, 4)
# For layers with at most one block of 128 x 128 a multiprocessor, where more warps or blocks hide more of the latency.
# No GPU has measured them there, so only measurements choose them.
TRIAL_CONFIGS = (
    Config(128, 128, 64, 8, 4),
    Config(64, 128, 64, 4, 4),
    Config(64, 256, 64, 8, 3),
)
# float32 operands have twice the bytes and need three products (tf32x3).
FLOAT_CONFIGS = (
    Config(128, 64, 32, 8, 3, 100.0),
    Config(64, 64, 32, 4, 3, 80.0),
    Config(128, 32, 32, 4, 3, 70.0),
    Config(64, 32, 32, 4, 3, 50.0),
    Config(16, 32, 64, 4, 3, 15.0),
)


def configs(dtype: torch.dtype) -> tuple[Config, ...]:
    """The list of block shapes for operands of a type."""
    return FLOAT_CONFIGS if dtype == torch.float32 else HALF_CONFIGS


def candidates(dtype: torch.dtype, inner: int, columns: int, heavy: bool = False) -> list[Config]:
    """The distinct configs that fit operands of `inner` input channels and `columns` columns.

    heavy: whether the epilogue has too many values for the widest block, see HEAVY_MAX_COLUMNS.
    """
    fitted: dict[Config, Config] = {}
    widest = max(_block(columns), min(config.bn for config in configs(dtype)))
    if heavy:
        widest = min(widest, HEAVY_MAX_COLUMNS)
    for config in configs(dtype):
        if config.bn <= widest:
            shrunk = config.fitted(inner, columns)
            measured = replace(shrunk, rate=measured_rate(config, columns), step_us=measured_step(config))
            fitted.setdefault(replace(shrunk, rate=0.0), measured)
    return list(fitted.values())


def trials(x: torch.Tensor, rows: int, inner: int, columns: int) -> list[Config]:
    """Those of TRIAL_CONFIGS that fit `rows` x `columns` sums over `inner` input channels of x's type and GPU."""
    blocks = -(-rows // 128) * -(-columns // 128)
    if x.element_size() != 2 or blocks > multiprocessors(x):
        return []
    return [c for c in TRIAL_CONFIGS if c.bn <= _block(columns) and c.bk <= _block(inner)]


def measured_rate(config: Config, columns: int) -> float:
    """TFLOP/s of a block shape, of the measured layer nearest in width that has it."""
    for width in sorted(RATES, key=lambda width: max(width / columns, columns / width)):
        if config.shape in RATES[width]:
            return RATES[width][config.shape]
    return config.rate


def measured_step(config: Config) -> float:
    """Microseconds a step of a block shape, with its own number of stages or another."""
    alike = {stages: us for (*block, stages), us in STEP_US.items() if tuple(block) == config.shape[:-1]}
    return alike.get(config.stages, max(alike.values(), default=config.step_us))


def cheapest(
    options: Sequence[Config],
    rows: int,
    inner: int,
    columns: int,
    multiprocessors: int,
    product: Product = CONVOLUTION,
) -> Config:
    """The config with the least predicted time, see `cost_model`."""

    def cost(config: Config) -> float:
        work = rows, inner, columns, multiprocessors, product
        return microseconds(config.shape, config.rate, config.step_us, *work)

    return min(options, key=cost)


class _Cache:
    """Measured choices, in memory and on disk in one JSON file per GPU and Triton version."""

    def __init__(self) -> None:
        self.enabled = False
        self.choices: dict[str, int] = {}
        self.path: Path | None = None

    def load(self) -> None:
        import triton

        name = torch.cuda.get_device_name().replace(" ", "-").replace("/", "-")
        path = cache_folder() / f"{name}-triton{triton.__version__}.json"
        if path != self.path:
            self.path = path
            self.choices = json.loads(path.read_text()) if path.is_file() else {}

    def save(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(f".part-{os.getpid()}")
        temporary.write_text(json.dumps(self.choices, indent=0, sort_keys=True))
        os.replace(temporary, self.path)


_cache = _Cache()


def cache_folder() -> Path:
    """Folder of measured choices: $SGI_CACHE, or sgi-engine in the user's cache folder."""
    base = os.environ.get("SGI_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sgi-engine"


@contextmanager
def tuning(enabled: bool) -> Iterator[None]:
    """Within the context, choose by measurements (True) or by the cost model alone (False)."""
    before, _cache.enabled = _cache.enabled, enabled
    try:
        yield
    finally:
        _cache.enabled = before


def pick(kind: str, key: dict[str, Any], options: Sequence[Any], default: Any, run: Callable[[Any], object]) -> Any:
    """One of `options`: the measured fastest for `key` within `tuning(True)`, else `default`.

    run(option) launches the work. Nothing is measured without a GPU or while a graph is being captured.
    """
    if not _cache.enabled or len(options) == 1 or not torch.cuda.is_available():
        return default
    _cache.load()
    name = json.dumps({"kind": kind, **key, "options": [_label(o) for o in options]}, sort_keys=True)
    if name not in _cache.choices:
        if torch.cuda.is_current_stream_capturing():
            return default
        _cache.choices[name] = _fastest(options, run)
        _cache.save()
    return options[_cache.choices[name]]


def _label(option: Any) -> Any:
    if isinstance(option, Config):
        return list(option.shape)
    return list(asdict(option).values()) if is_dataclass(option) and not isinstance(option, type) else option


def _fastest(options: Sequence[Any], run: Callable[[Any], object]) -> int:
    from triton.runtime.errors import OutOfResources
    from triton.testing import do_bench

    times = []
    for option in options:
        try:
            times.append(float(do_bench(lambda option=option: run(option), warmup=5, rep=20, return_mode="median")))
        except OutOfResources:  # GPUs differ in their shared memory
            times.append(float("inf"))
    return min(range(len(times)), key=times.__getitem__)


def is_heavy(x: torch.Tensor, pixels: int, to_rgb: bool) -> bool:
    """Whether the widest block has too few registers for the epilogue, on x's device and images of so many pixels."""
    several_images = pixels % HALF_CONFIGS[0].bm != 0
    return several_images or (to_rgb and before_hopper(x))


def before_hopper(x: torch.Tensor) -> bool:
    """Whether x is on a GPU of a compute capability below 9.0."""
    return x.is_cuda and torch.cuda.get_device_capability(x.device)[0] < 9


def choose_blocks(
    kind: str,
    x: torch.Tensor,
    rows: int,
    inner: int,
    columns: int,
    key: dict[str, Any],
    run: Callable[[Any], object],
    heavy: bool = False,
    others: Sequence[Any] = (),
    product: Product = CONVOLUTION,
    without: tuple[int, ...] | None = None,
) -> Any:
    """Block shape for a GEMM of rows x columns over `inner` channels of x's type and the taps of `product`.

    others: block shapes of other forms, which only a measurement can choose. without: a shape to leave out.
    """
    options = [c for c in candidates(x.dtype, inner, columns, heavy) if c.shape != without]
    default = cheapest(options, rows, inner, columns, multiprocessors(x), product)
    # Batches of the same power of two share a choice.
    key = {**key, "rows": (rows - 1).bit_length(), "inner": inner, "columns": columns, "dtype": str(x.dtype)}
    return pick(kind, key, [*options, *others], default, run)
