"""What a model of a generator and offsets contains, before anything is baked: outputs, truncation and noise.

`export` and `run --generator` use the same rules and defaults. Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sgi.engine import bundle, intrinsics
from sgi.engine.arguments import check_factor, check_psi, names_of_types
from sgi.engine.artifact import NOISE_CHOICES
from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.offsets import Offset, as_offsets
from sgi.engine.seeds import SEED_MAX

ALL = "all"
T = TypeVar("T")


@dataclass(frozen=True)
class ModelRecipe:
    """The outputs of a model and the settings that are fixed in it.

    offsets: type -> offset, None for the picture, in the order of the outputs; the factor alpha is applied.
    psi: default truncation; cutoff: rows of w+ that it truncates, None for all. noise_mode: none or const.
    noise_seed: seed of the noise that replaces the generator's, None for the generator's own.
    """

    offsets: dict[str, Offset | None]
    psi: float
    cutoff: int | None
    noise_mode: str
    noise_seed: int | None

    @property
    def settings(self) -> dict[str, Any]:
        """All fields but the offsets, as keyword arguments of `export_onnx` and `TritonBackend`."""
        return {name: value for name, value in vars(self).items() if name != "offsets"}

    @property
    def fitted(self) -> list[Offset]:
        """The offsets of all outputs that have one."""
        return [offset for offset in self.offsets.values() if offset is not None]


def model_recipe(
    *,
    bundled: bool,
    offsets: Sequence[str | Path | Offset] = (),
    types: str | Sequence[str] | None = None,
    alpha: float = 1.0,
    psi: float | None = None,
    other_psi: float | None = None,
    cutoff: int | None = None,
    noise_mode: str | None = None,
    noise_seed: int | None = None,
) -> ModelRecipe:
    """The recipe of a model; None for a setting is that of the offsets' fits.

    bundled: whether the generator is the bundled one, whose types without an offset in `offsets` use bundled offsets.
    other_psi: the default psi if the offsets were fitted with different ones and `psi` is None. The other arguments are
    those of `sgi.export.export_model`.

    Raises UserError for invalid values, and for settings that the offsets do not agree on.
    """
    names = names_of_types(types)
    if psi is not None:
        check_psi(psi)
    alpha = check_factor("alpha", alpha)
    chosen = choose_offsets(names, offsets, bundled)
    if alpha != 1:
        if not any(chosen.values()):
            refuse_ignored({"alpha": alpha}, "without offsets: the only output is the picture")
        chosen = {name: None if offset is None else offset.scaled(alpha) for name, offset in chosen.items()}
    fitted = [offset for offset in chosen.values() if offset is not None]
    psis = {offset.psi for offset in fitted}
    psi = _agreed("psi", other_psi if psi is None and len(psis) > 1 else psi, psis, 1.0)
    noise_mode = _agreed("noise_mode", noise_mode, {o.noise_mode for o in fitted}, "none" if bundled else "const")
    if noise_mode not in NOISE_CHOICES:
        raise UserError(f"`noise_mode={noise_mode}`: choose from {', '.join(NOISE_CHOICES)}")
    if noise_mode == "random":
        noise_mode, noise_seed = "const", 0 if noise_seed is None else noise_seed
        if not 0 <= noise_seed <= SEED_MAX:
            raise UserError(f"`noise_seed={noise_seed}`: a seed is an integer from 0 to {SEED_MAX}")
    elif noise_seed is not None:
        raise UserError(f"`noise_seed={noise_seed}`: only with `noise_mode=random`")
    if cutoff is None:
        cutoff = _agreed("cutoff", None, {offset.cutoff for offset in fitted}, None)
    return ModelRecipe(chosen, psi, cutoff, noise_mode, noise_seed)


def choose_offsets(
    types: Sequence[str] | None, offsets: Sequence[str | Path | Offset], bundled: bool
) -> dict[str, Offset | None]:
    """Type -> offset (None for `image`) in the order of `types`.

    types, offsets: see `sgi.export.export_model`. bundled: whether types without an offset in `offsets` use the bundled
    one.
    Raises UserError for a type that has no offset, two offsets of one type, and an offset of another type.
    """
    offsets = as_offsets(offsets)
    given: dict[str, Offset] = {}
    for item in offsets:
        offset = item if isinstance(item, Offset) else Offset.load(item)
        if offset.type in given:
            shown = offset.type if isinstance(item, Offset) else item
            raise UserError(f"`offsets={shown}`: a second offset of type {offset.type}; pass one per type")
        given[offset.type] = offset
    own = list(given)
    if bundled:
        for name in {*intrinsics.MAP_TYPES, *(types or [])} - {*given, ALL}:
            if bundle.offset(name).exists():
                given[name] = Offset.load(bundle.offset(name))
    names = [name if name in given else intrinsics.get(name).name for name in types or [] if name != ALL]
    if ALL in (types or []) or not (types or own):
        maps = [name for name in intrinsics.MAP_TYPES if name in given]
        names = [*dict.fromkeys([intrinsics.IMAGE, *maps, *given])]
    elif not types:
        names = own
    for name in names:
        if name != intrinsics.IMAGE and name not in given:
            command = f"sgi-engine train --type {name}"
            raise UserError(f"`types={name}`: no offset for it; pass `offsets=FILE` or fit one with `{command}`")
    for name, item in zip(own, offsets, strict=True):
        if name not in names:
            shown = name if isinstance(item, Offset) else item
            raise UserError(
                f"`offsets={shown}` has no effect: it is an offset of {name}, and `types` has {', '.join(names)}; "
                "choose its type too, or leave it out"
            )
    return {name: None if name == intrinsics.IMAGE else given[name] for name in names}


def _agreed(name: str, given: T | None, fitted: set[T], default: T) -> T:
    """The given value, or else the one that all offsets were fitted with; raises UserError if they differ."""
    if given is not None:
        return given
    if len(fitted) > 1:
        shown = " and ".join(sorted("none" if value is None else str(value) for value in fitted))
        raise UserError(f"`{name}`: the offsets were fitted with {shown}; choose one")
    return next(iter(fitted), default)
