"""Correctness checks that run before the measurements: every kernel and the whole network against float64.

Operands are random. Output memory is filled with NaN before a launch, each launch runs twice and must repeat to the
bit, and the sizes include the block shapes of the real layers and odd sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from workload import CHECK_CONFIG, TINY_CONFIG, TINY_SIZES, Size, build, offset_from

from sgi.engine.backends.triton.fused_network import FusedNetwork
from sgi.engine.backends.triton.kernel_synthesis import with_kernels
from sgi.engine.offset_tensors import ROWS
from sgi.kernels.gpu import fused_conv, modulated_conv, pack_conv, to_rgb, up_conv
from sgi.kernels.gpu.conv import reference
from sgi.kernels.gpu.torgb import reference as torgb_reference
from sgi.kernels.gpu.upconv import launch as up_launch
from sgi.kernels.gpu.upconv import reference as upconv_reference
from sgi.kernels.gpu.upconv.fused_launch import fits

LIMITS = {torch.float32: 1e-5, torch.float16: 5e-3, torch.bfloat16: 2e-2}
# images, images of x, height, width, input channels, output channels
SMALL_SHAPES = [(3, 3, 5, 7, 19, 35), (6, 2, 4, 4, 512, 512)]
# Layers of the real networks, in float16 as they run.
LARGE_SHAPES = [
    (2, 2, 64, 64, 512, 512),
    (2, 2, 128, 128, 256, 256),
    (1, 1, 256, 256, 128, 64),
    (1, 1, 512, 512, 32, 32),
]
Row = dict[str, Any]


@contextmanager
def poisoned() -> Iterator[None]:
    """Within the block torch.empty returns NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def ratio(value: Tensor, expected: Tensor) -> float:
    """RMS of the difference over RMS of the reference."""
    return float((value.double() - expected.double()).norm() / expected.double().norm())


def wide(arguments: tuple[Any, ...]) -> list[Any]:
    """The same operands in float64."""
    return [a.double() if isinstance(a, Tensor) else a for a in arguments]


def cases(sizes: tuple[Size, ...], device: str, tiny: bool) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """(name, function that returns rows of name, error, limit and whether the check passed)."""

    def case(rows: Callable[..., Iterator[Row]], *arguments: Any) -> Callable[[], list[Row]]:
        def run() -> list[Row]:
            with poisoned():
                return list(rows(*arguments))

        return run

    small = Size("check", TINY_CONFIG if tiny else CHECK_CONFIG, (2,), 1)
    for dtype in LIMITS:
        for shape in SMALL_SHAPES[: 1 if tiny else None]:
            yield f"{shape} {dtype}", case(_operators, shape, dtype, device)
        yield f"network {dtype}", case(_network, small, dtype, device)
    if not tiny:
        for shape in LARGE_SHAPES:
            yield f"{shape}", case(_operators, shape, torch.float16, device)
        yield "large network", case(_network, sizes[-1], torch.float16, device)
        # Pools of fits are rendered in float32.
        yield "large network float32", case(_network, sizes[-1], torch.float32, device)
    yield "gradients", case(_gradients, device)


def _row(name: str, dtype: torch.dtype, error: float, limit: float, repeats: bool = True) -> Row:
    # NaN compares false with any limit, so it fails.
    return {
        "name": name, "dtype": str(dtype).removeprefix("torch."), "error": error, "limit": limit,
        "repeats": repeats, "passed": error < limit and repeats,
    }  # fmt: skip


def _operators(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Iterator[Row]:
    n, nx, height, width, inputs, outputs = shape
    packed = pack_conv(torch.randn(outputs, inputs, 3, 3, device=device), dtype, up=True)
    x = torch.randn(nx, height, width, inputs, device=device).to(dtype)
    style, scale = torch.randn(n, inputs, device=device), torch.rand(n, outputs, device=device) + 0.5
    noise, bias = torch.randn(n, height, width, device=device), torch.randn(outputs, device=device)
    double_noise = torch.randn(1, 2 * height, 2 * width, device=device)
    below = torch.randn(n, 3, height // 2, width // 2, device=device)
    even = height % 2 == 0 and width % 2 == 0
    rgb = (torch.randn(n, outputs, device=device), torch.randn(3, outputs, device=device) / outputs**0.5,
           torch.randn(3, device=device), below if even else None, 1.0)  # fmt: skip

    arguments = (x, packed.taps, style, scale, noise, bias, 2.0)
    features = reference.modulated_conv(*wide(arguments))
    label = "x".join(str(side) for side in shape)
    first, again = modulated_conv(*arguments), modulated_conv(*arguments)
    yield _row(f"modulated_conv {label}", dtype, ratio(first, features), LIMITS[dtype], bool((first == again).all()))
    next_style = torch.randn(n, outputs, device=device)
    y, img = fused_conv(*arguments, next_style, *rgb)
    scaled = reference.modulated(features, next_style.double(), n)
    yield _row(f"fused_conv {label}", dtype, ratio(y, scaled), LIMITS[dtype])
    colours = torgb_reference.to_rgb(features, *wide(rgb))
    yield _row(f"fused to-rgb {label}", dtype, ratio(img, colours), LIMITS[dtype])
    rounded = features.to(dtype)
    colours = torgb_reference.to_rgb(*wide((rounded, *rgb)))
    yield _row(f"to_rgb {label}", dtype, ratio(to_rgb(rounded, *rgb), colours), LIMITS[torch.float32])
    arguments = (x, packed.taps, style, scale, double_noise, bias, 2.0)
    expected = upconv_reference.up_conv(*wide(arguments))
    for form in up_launch.FORMS if fits(x) else up_launch.FORMS[:2]:
        first, again = (up_conv(*arguments, packed.phase_weights, form) for _ in range(2))
        repeats = bool((first == again).all())
        yield _row(f"up_conv {form} {label}", dtype, ratio(first, expected), LIMITS[dtype], repeats)


def _network(size: Size, dtype: torch.dtype, device: str) -> Iterator[Row]:
    generator = build(size, device)
    offset = offset_from(size.config, seed=1, from_side=8).to(device)
    z = torch.randn(2, size.config.z_dim, device=device)
    network = FusedNetwork(generator, [{}, {ROWS: offset}], dtype)
    selection = network.select([0, 1])
    with torch.inference_mode():
        styles = network.styles(network.mapping(z), torch.tensor(0.7, device=device), None, selection)
        pictures, again = network.render(styles, selection), network.render(styles, selection)
    with torch.inference_mode():
        wide_generator = generator.double()
        expected = torch.stack(
            [wide_generator(z.double(), psi=0.7, offset=o, dtype=torch.float64) for o in (None, offset.double())]
        )
    repeats = bool((pictures == again).all())
    yield _row(f"network {size.name}", dtype, ratio(pictures, expected), LIMITS[dtype], repeats)


def _gradients(device: str) -> Iterator[Row]:
    n, side, inputs, outputs = 2, 6, 24, 40
    packed = pack_conv(torch.randn(outputs, inputs, 3, 3, device=device), torch.float32)
    for name, function, expected_function, factor in (
        ("modulated_conv", modulated_conv, reference.modulated_conv, 1),
        ("up_conv", up_conv, upconv_reference.up_conv, 2),
    ):
        operands = (
            torch.randn(n, side, side, inputs, device=device), packed.taps, torch.randn(n, inputs, device=device),
            torch.rand(n, outputs, device=device) + 0.5, torch.randn(1, factor * side, factor * side, device=device),
            torch.randn(outputs, device=device), None,
        )  # fmt: skip
        probe = torch.randn(n, factor * side, factor * side, outputs, device=device)
        found = _differentiate(function, list(operands), probe)
        expected = _differentiate(expected_function, wide(operands), probe.double())
        for part, one, other in zip(("x", "style", "scale"), found, expected, strict=True):
            yield _row(f"{name} gradient of {part}", torch.float32, ratio(one, other), LIMITS[torch.float32])
    generator = build(TINY_SIZES[0], device)
    # On a GPU the later latents replay the graphs that the first ones captured.
    latents = torch.randn(3 if device == "cuda" else 1, 2, generator.config.num_ws, generator.config.w_dim)
    latents = latents.to(device)
    kernels = with_kernels(generator)
    ours = [_gradient_of_ws(kernels.synthesize, ws).clone() for ws in latents]
    double = generator.double()
    for index, (one, ws) in enumerate(zip(ours, latents, strict=True)):
        exact = _gradient_of_ws(lambda given: double.synthesize(given, dtype=torch.float64), ws.double())
        name = f"gradient of w+ through the network, call {index}"
        yield _row(name, torch.float32, ratio(one, exact), LIMITS[torch.float32])


def _differentiate(function: Any, operands: list[Any], probe: Tensor) -> tuple[Tensor, ...]:
    for i in (0, 2, 3):
        operands[i] = operands[i].detach().requires_grad_()
    return torch.autograd.grad(function(*operands), [operands[i] for i in (0, 2, 3)], probe)


def _gradient_of_ws(function: Any, ws: Tensor) -> Tensor:
    ws = ws.detach().requires_grad_()
    picture = function(ws)
    random = torch.Generator().manual_seed(0)
    probe = torch.randn(picture.shape, generator=random).to(picture)
    return torch.autograd.grad(picture, ws, probe)[0]
