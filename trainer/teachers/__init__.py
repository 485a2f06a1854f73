"""Teachers: models that read intrinsic maps off a picture, and say what offsets are fitted to.

A teacher is named by a spec: `bundled`, a native teacher file, or `kind:argument` for every other kind. A kind
joins by `register_teacher`; nothing else needs to know of it. Specs joined by + are a panel: the first that can tell a
type tells it. `bundled` is the bundled U-Net, with a Sobel filter for edges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Protocol, runtime_checkable

from torch import Tensor

from sgi.engine.errors import UserError


@runtime_checkable
class Teacher(Protocol):
    """What the trainer asks of a teacher; frozen, and in eval mode.

    name: what reports call it.
    sha256: identifies the weights (or the formula, for one without weights), 64 hex digits.
    types: names of the intrinsics it can tell.
    classes: of its segmentation, in the order of their indices; () if it has none.
    input_range: lowest and highest value of an input pixel.
    resolution: side in pixels of the pictures its figures were measured on; None if it has no favourite.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def input_range(self) -> tuple[float, float]: ...
    @property
    def resolution(self) -> int | None: ...

    def __call__(self, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
        """Codes of `types` for `image` [N, 3, H, W] float32 sRGB in `input_range`.

        Returns [N, C, H, W] float32 codes in [0, 1] by name (sgi.engine.intrinsics). Differentiable in `image`, but
        for Marigold, ONNX models and Canny: wrap the call in torch.no_grad() where the codes are only targets.
        Raises UserError for a type it does not know.
        """
        ...

    def features(self, image: Tensor) -> Tensor:
        """Pooled features [N, F] float32 of `image`, for Frechet distances between sets of pictures.

        Raises UserError if it has none.
        """
        ...


Opener = Callable[[str, str], Teacher]
"""(argument, device) -> Teacher; the argument is what follows `kind:` in the spec."""

_OPENERS: dict[str, Opener] = {}
# At least two letters: `C:\rooms.safetensors` is a file.
_KIND = re.compile(r"([a-z][a-z0-9-]+):(.*)", re.DOTALL)
# Paths may hold a +, so only one before another spec joins.
_JOINT = re.compile(r"\+(?=bundled$|bundled\+|[a-z][a-z0-9-]+:)")


def register_teacher(kind: str, opener: Opener) -> None:
    """Let `load_teacher` open specs that begin with `kind:`; raises ValueError if the kind is taken or misspelt."""
    if kind in _OPENERS or not _KIND.fullmatch(f"{kind}:"):
        raise ValueError(f"teacher kind {kind!r} is taken, or not lower-case letters, digits and dashes")
    _OPENERS[kind] = opener


def load_teacher(spec: str = "bundled", device: str = "cpu") -> Teacher:
    """The teacher that `spec` names: `bundled`, a native teacher file, `kind:argument`, or several joined by +.

    Raises UserError for an unknown kind, a missing file, and whatever the kind's opener refuses.
    """
    if spec == "bundled":
        from sgi.engine.bundle import TEACHER

        return _panel([f"unet:{TEACHER}", "analytic:sobel"], device)
    members = _JOINT.split(spec)
    if len(members) > 1:
        return _panel(members, device)
    match = _KIND.fullmatch(spec)
    if match is None:
        return _open_native(spec, device)
    kind, argument = match.groups()
    if kind not in _OPENERS:
        known = ", ".join(f"{name}:..." for name in sorted(_OPENERS))
        raise UserError(f"--teacher {spec}: unknown kind {kind!r}; give `bundled`, a teacher file, or {known}")
    return _OPENERS[kind](argument, device)


def _panel(specs: Sequence[str], device: str) -> Teacher:
    from sgi.trainer.teachers.panel import Panel

    return Panel([load_teacher(spec, device) for spec in specs])


def _open_native(path: str, device: str) -> Teacher:
    return _open("native", "load_unet_teacher", path, device)


def _open(module: str, function: str, argument: str, device: str) -> Teacher:
    """Open with a function of a module of this package, imported only now: some need packages of their own."""
    teacher: Teacher = getattr(import_module(f"{__name__}.{module}"), function)(argument, device)
    return teacher


register_teacher("unet", _open_native)
register_teacher("analytic", partial(_open, "analytic", "open_analytic"))
register_teacher("diffusers", partial(_open, "diffusers_", "open_diffusers"))
register_teacher("onnx", partial(_open, "onnx_", "open_onnx"))
register_teacher("transformers", partial(_open, "transformers_", "open_transformers"))
