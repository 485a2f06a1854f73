"""The interface of a teacher: a model that predicts intrinsic maps from a picture. Offsets are fitted to its maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Teacher(Protocol):
    """A frozen model in eval mode.

    name: its name in reports and offset files.
    sha256: hash of the weights, or of the formula for a teacher without weights, 64 hex digits.
    types: names of the types it supports.
    classes: class names of its segmentation, in the order of their indices; () if it has none.
    input_range: lowest and highest value of an input pixel.
    resolution: side in pixels of the pictures that its figures were measured on; None if it has no preferred one.
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
        """Codes (sgi.engine.intrinsics) of `types`, by type.

        image: [N, 3, H, W] float32 sRGB in `input_range`. Returns [N, C, H, W] float32 in [0, 1].
        Differentiable in `image`, except for Marigold, ONNX models and Canny; call it under torch.no_grad() where the
        codes are only targets. Raises UserError for a type that it does not support.
        """
        ...

    def features(self, image: Tensor) -> Tensor:
        """Pooled features [N, F] float32 of `image`, for Frechet distances between sets of pictures.

        Raises UserError if the teacher has no features.
        """
        ...


Opener = Callable[[str, str], Teacher]
"""(argument, device) -> Teacher; the argument is the text after `kind:` in the spec."""
