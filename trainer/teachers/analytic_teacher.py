"""Teachers that are formulas without weights: edges, luminance, Retinex."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.packages import need
from sgi.trainer.scenes.srgb import srgb_decode
from sgi.trainer.teachers import retinex
from sgi.trainer.teachers.codes import albedo_codes, shading_codes
from sgi.trainer.teachers.luminance import WHITE_PATCH, luminance
from sgi.trainer.teachers.map_teacher import MapTeacher, content_sha256

CANNY = {"low_threshold": 0.1, "high_threshold": 0.2, "kernel_size": (5, 5), "sigma": (1.0, 1.0)}
# Added under a square root, whose gradient at 0 is infinite.
_EPSILON = 1e-12


@dataclass(frozen=True)
class Formula:
    """The formula of an analytic teacher.

    compute: pictures [N, 3, H, W] float32 sRGB in [0, 1] -> codes [N, C, H, W] of all `types`, by name. note: its
    description; facts: its constants; both are part of the teacher's hash. package: Python package that `compute`
    needs.
    """

    types: tuple[str, ...]
    compute: Callable[[Tensor], Mapping[str, Tensor]]
    note: str
    facts: Mapping[str, object] = field(default_factory=dict)
    package: str | None = None


class AnalyticTeacher(MapTeacher):
    """A formula as a Teacher."""

    def __init__(self, kind: str, formula: Formula) -> None:
        facts: dict[str, object] = {"analytic": kind, "note": formula.note, **formula.facts}
        if formula.package:
            facts["version"] = need(formula.package, f"`teacher=analytic:{kind}`").__version__
        super().__init__(f"analytic {kind}", content_sha256(facts), formula.types, notes={"output": formula.note})
        self._compute = formula.compute

    def codes(self, image: Tensor, types: Sequence[str]) -> Mapping[str, Tensor]:
        return self._compute(image)


def open_teacher(argument: str, device: str = "cpu") -> AnalyticTeacher:
    """The analytic teacher named `sobel`, `canny`, `luminance` or `retinex`.

    device: not used, because a formula has no weights; the teacher computes on the device of the pictures.
    Raises UserError for another name, and for canny if kornia is missing.
    """
    if argument not in FORMULAS:
        raise UserError(f"`teacher=analytic:{argument}`: choose from {', '.join(FORMULAS)}")
    return AnalyticTeacher(argument, FORMULAS[argument])


def sobel(image: Tensor) -> Tensor:
    """Edge strength [N, 1, H, W] of pictures [N, 3, H, W] in [0, 1]: the length of the Sobel gradient of luma.

    The kernel is scaled so that a straight step from black to white has strength 1; corners can have more. The border
    pixels are replicated.
    """
    smooth, slope = torch.tensor([0.25, 0.5, 0.25]), torch.tensor([-1.0, 0.0, 1.0])
    along_x = torch.outer(smooth, slope)
    taps = torch.stack([along_x, along_x.T])[:, None].to(image)  # [2, 1, 3, 3]
    gradient = F.conv2d(F.pad(luminance(image), (1, 1, 1, 1), mode="replicate"), taps)
    return (gradient.square().sum(dim=1, keepdim=True) + _EPSILON).sqrt()


def canny(image: Tensor) -> Tensor:
    """Canny edges [N, 1, H, W], 0 or 1, of pictures [N, 3, H, W] in [0, 1], computed by kornia; without gradient."""
    from kornia.filters import canny as kornia_canny

    _, edges = kornia_canny(luminance(image.detach()), **CANNY)
    return edges.to(image.dtype)


def _luminance(image: Tensor) -> dict[str, Tensor]:
    linear = luminance(srgb_decode(image))
    return {"luminance": luminance(image), "shading": shading_codes(linear)}


def _retinex(image: Tensor) -> dict[str, Tensor]:
    albedo, shading = retinex.retinex(image)
    return {"albedo": albedo_codes(albedo), "shading": shading_codes(shading)}


FORMULAS = {
    "sobel": Formula(
        ("edges",),
        lambda image: {"edges": sobel(image)},
        "length of the Sobel gradient of BT.709 luma, 1 for a straight step from black to white",
    ),
    "canny": Formula(
        ("edges",),
        lambda image: {"edges": canny(image)},
        "Canny edges of BT.709 luma, 0 or 1",
        facts=CANNY,
        package="kornia",
    ),
    "luminance": Formula(
        ("luminance", "shading"),
        _luminance,
        "luminance: BT.709 luma as it is; shading: linear luminance, as if every paint were white",
    ),
    "retinex": Formula(
        ("albedo", "shading"),
        _retinex,
        f"colour Retinex by Poisson integration; albedo {WHITE_PATCH}",
        facts={
            "gray": retinex.GRAY_THRESHOLD,
            "colour": retinex.COLOUR_THRESHOLD,
            "floor": retinex.FLOOR,
        },
    ),
}
