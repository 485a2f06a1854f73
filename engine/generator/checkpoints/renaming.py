"""Conversion of state dicts whose layers are in lists: rosinality's code, and the code bases derived from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import (
    MAX_TENSORS,
    PUBLISHED_LR_MULTIPLIER,
    W_AVG,
    Checkpoint,
    Unsupported,
    assemble,
    check_filter,
)
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call
from sgi.engine.generator.checkpoints.state_dicts import Found
from sgi.engine.generator.checkpoints.tensors import Ref

UPSAMPLING_GAIN = 4.0
RATE_ASSUMED = (
    "the format does not store the learning-rate multiplier of the mapping network: assumed to be "
    f"{PUBLISHED_LR_MULTIPLIER}"
)


def load_renamed(
    container: Container,
    found: Found,
    format: str,
    renamed: Callable[[str], str | None],
    assumed: Iterable[str] = (),
) -> Checkpoint:
    """The generator of a state dict without settings.

    renamed: NVIDIA's name of a tensor, None for an unknown tensor. `latent_avg` beside or in the state dict becomes the
    mean of w, and `lr_mlp` of the training arguments the learning-rate multiplier. Raises UserError for other tensors,
    Unsupported for a mapping network that reads more than z.
    """
    if len(found.tensors) > MAX_TENSORS:
        raise UserError(f"{container.label}: {len(found.tensors)} tensors, more than any StyleGAN2 generator has")
    tensors: dict[str, Ref] = {}
    for name, value in found.tensors.items():
        if name == "latent_avg":
            continue
        ref = container.reader.tensor(value, name)
        if name.endswith((".blur.kernel", ".upsample.kernel")):
            check_filter(container.label, name, ref, UPSAMPLING_GAIN)
            continue
        new = renamed(name)
        if new is None:
            raise UserError(f"{container.label}: not a generator of {format}: an unknown tensor {name[:60]!r}")
        tensors[new] = without_unit_axes(new, ref)
    average = found.beside("latent_avg")
    if container.reader.is_tensor(average):
        tensors |= mean_of_w(container.reader.tensor(average, "latent_avg"))
    check_mapping_input(container.label, tensors)
    rate = _rate(container, found)
    return assemble(
        container.label,
        f"{format} ({container.kind})",
        tensors,
        conv_clamp=None,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER if rate is None else rate,
        assumed=(*assumed, *([RATE_ASSUMED] if rate is None else [])),
        dropped=[name for name in found.outside if name != "latent_avg"],
    )


def without_unit_axes(name: str, ref: Ref) -> Ref:
    """The tensor without the additional axes of length 1 of rosinality's shapes; name: NVIDIA's."""
    if name.endswith("noise_strength") and ref.shape == (1,):
        return ref.reshape()
    if name.endswith("noise_const") and len(ref.shape) == 4 and ref.shape[:2] == (1, 1):
        return ref.reshape(*ref.shape[2:])
    if name.endswith("torgb.bias") and len(ref.shape) == 4 and (ref.shape[0], *ref.shape[2:]) == (1, 1, 1):
        return ref.reshape(ref.shape[1])
    if name.startswith("synthesis.") and len(ref.shape) in (4, 5) and ref.shape[0] == 1:
        return ref.reshape(*ref.shape[1:])
    return ref


def mean_of_w(average: Ref) -> dict[str, Ref]:
    """w_avg from `latent_avg` [w_dim] or [1 or rows, w_dim]; empty if its rows differ."""
    rows = average.read().reshape(-1, average.shape[-1] if average.shape else 1)
    if len(rows) == 0 or (rows != rows[0]).any():
        return {}
    return {W_AVG: average.map((rows.shape[1],), lambda x: x.reshape(rows.shape)[0])}


def check_mapping_input(label: str, tensors: dict[str, Ref]) -> None:
    """Raise Unsupported where a mapping network without label embedding reads more numbers than w has."""
    first, style = tensors.get("mapping.fc0.weight"), tensors.get("synthesis.b4.conv1.affine.weight")
    if first is None or style is None or len(first.shape) != 2 or len(style.shape) != 2:
        return
    if first.shape[1] > style.shape[1]:
        raise Unsupported(
            f"{label}: refused, its first mapping layer reads {first.shape[1]} numbers, w has {style.shape[1]}: "
            "a class-conditional network that was converted without its label embedding; import the original file"
        )


def _rate(container: Container, found: Found) -> float | None:
    for name in ("args", "opts", "opt"):
        settings = found.beside(name)
        values = settings.state if isinstance(settings, Call) else settings
        if isinstance(values, dict) and "lr_mlp" in values:
            value: Any = values["lr_mlp"]
            return container.reader.number(value, f"{name}.lr_mlp")
    return None
