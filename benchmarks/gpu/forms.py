"""The stages `forms` and `sweep`: every candidate of every distinct layer, checked and timed, and the winners.

A winner is kept under the layer's shape and batch size. `using` makes the fused network compute its layers by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
from candidates import conv_candidates, label, up_candidates
from checks import LIMITS, poisoned
from clock import measure_rotating
from layer_cases import LayerCase, Operands, shape_key, tensors
from torch import Tensor

from sgi.engine.backends.triton import fused_synthesis
from sgi.kernels.gpu import tune
from sgi.kernels.gpu.conv.launch import conv
from sgi.kernels.gpu.operands import Epilogue, RgbTail

Row = dict[str, Any]
Winners = dict[str, dict[str, str]]  # shape key -> batch size -> label
DEFAULT = "default"
CHECKED_IMAGES = 2
# The best block shapes of an earlier sweep and their neighbours; a shape wider than the layer is left out.
SWEEP = tuple(
    tune.Config(bm, bn, bk, warps, stages)
    for bm, bn, bk, warps, stages in (
        (128, 256, 64, 8, 3), (128, 256, 64, 8, 4), (128, 128, 64, 8, 3), (128, 128, 64, 4, 3), (128, 128, 64, 4, 4),
        (128, 128, 128, 8, 3), (256, 128, 64, 8, 3), (256, 64, 64, 8, 3), (128, 64, 64, 4, 3), (128, 64, 64, 4, 4),
        (64, 64, 64, 4, 4), (64, 128, 64, 4, 3), (256, 32, 32, 4, 3), (256, 32, 32, 8, 3), (128, 32, 32, 4, 4),
        (128, 32, 64, 4, 4), (64, 32, 64, 4, 4), (64, 64, 128, 4, 3), (16, 64, 128, 4, 4), (16, 32, 128, 4, 4),
    )
)  # fmt: skip


def sweep_configs(case: LayerCase) -> Iterator[tuple[str, tune.Config]]:
    """(label, block shape) of the sweep that fit a layer; the last one cut to the layer if none does."""
    fitting = [config for config in SWEEP if config.bn <= case.outputs and config.bk <= case.inputs]
    for config in fitting or [SWEEP[-1].fitted(case.inputs, case.outputs)]:
        yield label(config), config


def sweep_launch(operands: Operands, config: tune.Config) -> Any:
    """The layer by the plain kernel with a block shape."""
    o = operands
    return conv(o.x, o.packed.taps, o.case.batch, o.style, o.epilogue, o.rgb, config=config)


def _agrees(result: Any, expected: list[Tensor]) -> float:
    """Largest relative RMS error of the first and last images; NaN if any element is NaN."""
    worst = 0.0
    for found, wanted in zip(tensors(result), expected, strict=True):
        if bool(found.isnan().any()):
            return float("nan")
        found, wanted = (t[:: max(1, len(t) - 1)][:CHECKED_IMAGES].float() for t in (found, wanted))
        worst = max(worst, float((found - wanted).norm() / wanted.norm()))
    return worst


def _rows(
    case: LayerCase,
    sets: list[Operands],
    ways: list[tuple[str, list[Callable[[], Any]]]],
    expected: list[Tensor],
    device: str,
    rates: dict[str, float],
) -> Iterator[Row]:
    bound = case.bound_ms(rates)
    for name, runs in ways:
        row = {
            "layer": case.name, "size": case.size, "batch": case.batch, "side": case.side, "inputs": case.inputs,
            "outputs": case.outputs, "up": case.up, "key": case.shape_key, "form": name, "bound_ms": bound,
        }  # fmt: skip
        try:
            with torch.inference_mode():
                with poisoned():
                    error = _agrees(runs[0](), expected)
                if not error < 2 * LIMITS[torch.float16]:  # both results have rounding errors
                    raise ArithmeticError(f"relative error {error:.3g} against the default form")
                times = measure_rotating(runs, device)
            yield row | times | {"error": error, "tflops": case.flops / times["ms"] / 1e9}
        except Exception as problem:
            # A candidate may need more shared memory than the GPU has; the others are measured.
            yield row | {"failed": f"{type(problem).__name__}: {str(problem).splitlines()[0][:120]}"}


def form_rows(case: LayerCase, device: str, rates: dict[str, float], skipped: dict[str, str]) -> Iterator[Row]:
    """Every candidate of a layer and the default choice; skipped: label -> why a candidate cannot run."""
    sets = [case.operands(device) for _ in range(case.rotations() if device == "cuda" else 1)]
    listed: list[dict[str, Callable[[], Any]]] = [dict(operands.candidates()) for operands in sets]
    if device == "cpu":
        # The interpreter takes a second for each: the first block shape of each form.
        first: dict[str, str] = {}
        for name in listed[0]:
            first.setdefault(name.split()[0], name)
        listed = [{name: found[name] for name in first.values()} for found in listed]
    ways = [(DEFAULT, [operands.default for operands in sets])]
    ways += [(name, [found[name] for found in listed]) for name in listed[0] if name not in skipped]
    with torch.inference_mode():
        expected = tensors(sets[0].default())
    for name, reason in skipped.items():
        if name in listed[0]:
            yield {"layer": case.name, "size": case.size, "batch": case.batch, "form": name, "failed": reason}
    yield from _rows(case, sets, ways, expected, device, rates)


def sweep_rows(case: LayerCase, device: str, rates: dict[str, float], skipped: dict[str, str]) -> Iterator[Row]:
    """The block shapes of a plain layer, and cuDNN's convolution without epilogue."""
    sets = [case.operands(device) for _ in range(case.rotations() if device == "cuda" else 1)]
    ways: list[tuple[str, list[Callable[[], Any]]]] = [
        (name, [partial(sweep_launch, operands, config) for operands in sets])
        for name, config in sweep_configs(case)
        if name not in skipped
    ]
    with torch.inference_mode():
        expected = tensors(sets[0].default())
        filters = [o.packed.taps.view(3, 3, case.inputs, case.outputs).permute(3, 2, 0, 1) for o in sets]
        filters = [f.contiguous(memory_format=torch.channels_last) for f in filters]
        plain: list[Callable[[], Any]] = [
            partial(torch.nn.functional.conv2d, o.x.permute(0, 3, 1, 2), weight, padding=1)
            for o, weight in zip(sets, filters, strict=True)
        ]
        # benchmark: cuDNN times its algorithms and uses the fastest.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            yield from _rows(case, sets, [("cuDNN", plain)], tensors(plain[0]()), device, rates)
    yield from _rows(case, sets, ways, expected, device, rates)


def winners_of(rows: list[Row]) -> Winners:
    """The fastest candidate of each layer; the default is no candidate."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        if "ms" in row and row["form"] != DEFAULT:
            key = row["key"], str(row["batch"])
            if key not in best or row["ms"] < best[key]["ms"]:
                best[key] = row
    found: Winners = {}
    for (shape, batch), row in best.items():
        found.setdefault(shape, {})[batch] = row["form"]
    return found


def choice(winners: Winners, key: str, n: int) -> str | None:
    """The winner at the nearest batch size, by ratio."""
    table = winners.get(key, {})
    return table[min(table, key=lambda batch: max(int(batch) / n, n / int(batch)))] if table else None


@contextmanager
def using(winners: Winners) -> Iterator[None]:
    """Within the block `FusedNetwork` runs its layers by the winners, where there is one that fits the operands.

    The operators are replaced, so the choice costs host time; a CUDA graph does not show it.
    """
    former_up, former_conv = fused_synthesis.fused_up_conv, fused_synthesis.fused_conv

    def fused_up_conv(
        x: Tensor, weight: Tensor, phase_weights: Tensor | None, style: Tensor | None, scale: Tensor,
        noise: Tensor | None, bias: Tensor | None, clamp: float | None, next_style: Tensor | None,
        *rest: Any, **options: Any,
    ) -> Tensor:  # fmt: skip
        n = scale.shape[0]
        name = choice(winners, shape_key(True, x.shape[1], x.shape[3], weight.shape[2], True), n)
        epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
        for other, run in up_candidates(x, weight, phase_weights, n, style, epilogue) if name else ():
            if other == name:
                return run()
        operands = (x, weight, phase_weights, style, scale, noise, bias, clamp, next_style)
        return cast(Tensor, former_up(*operands, *rest, **options))

    def fused_conv(
        x: Tensor, weight: Tensor, style: Tensor | None, scale: Tensor, noise: Tensor | None, bias: Tensor | None,
        clamp: float | None, next_style: Tensor | None, rgb_style: Tensor | None, rgb_weight: Tensor | None,
        rgb_bias: Tensor | None, below: Tensor | None, rgb_clamp: float | None, write: bool,
        pair_weights: Tensor | None = None, **options: Any,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        n = scale.shape[0]
        name = choice(winners, shape_key(False, x.shape[1], x.shape[3], weight.shape[2], write), n)
        epilogue = Epilogue(scale, noise, bias, act=True, clamp=clamp, next_style=next_style)
        tail = None
        if rgb_style is not None and rgb_weight is not None and rgb_bias is not None:
            tail = RgbTail(rgb_style, rgb_weight, rgb_bias, below, rgb_clamp)
        operands = x, weight, n, style, epilogue, tail, write, pair_weights
        for other, run in conv_candidates(*operands) if name else ():
            if other == name:
                y, img = run()
                return x.new_empty(0) if y is None else y, scale.new_empty(0) if img is None else img
        options |= {"write": write, "pair_weights": pair_weights}
        layer = x, weight, style, scale, noise, bias, clamp, next_style
        found = former_conv(*layer, rgb_style, rgb_weight, rgb_bias, below, rgb_clamp, **options)
        return cast("tuple[Tensor, Tensor]", found)

    fused_synthesis.fused_up_conv, fused_synthesis.fused_conv = fused_up_conv, fused_conv  # type: ignore[assignment]
    try:
        yield
    finally:
        fused_synthesis.fused_up_conv, fused_synthesis.fused_conv = former_up, former_conv
