"""The cases of each ablation, which are the points of its plot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sgi.engine import intrinsics
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.offsets.spaces import SPACES
from sgi.trainer.studies.w_rows import first_row_of_side

IMAGES = (1, 10, 100, 1000, 2000)
ALPHAS = (-0.5, 0.0, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0)


@dataclass(frozen=True)
class Case:
    """One point: an offset, how it is fitted, and how it is changed before it is scored.

    type: of the map. series: name of the curve. label: name of the point on the curve. settings, images: of the fit;
    cases with equal values share a fit. alpha: factor of the offset. rows: the rows of w+ that are not set to zero;
    None for all.
    """

    type: str
    series: str
    label: str
    settings: FitSettings
    images: int
    alpha: float = 1.0
    rows: tuple[int, ...] | None = None

    @property
    def fit(self) -> tuple[str, FitSettings, int]:
        """The settings that the fit depends on."""
        return self.type, self.settings, self.images

    @property
    def path(self) -> str:
        """The case's key among figures."""
        return f"{self.type}/{self.series}/{self.label}"


def spaces(name: str, base: FitSettings, images: int, config: GeneratorConfig) -> list[Case]:
    """One fit in every space, each at its own learning rate."""
    return [Case(name, "space", space, replace(base, space=space, lr=None), images) for space in SPACES]


def rows(name: str, base: FitSettings, images: int, config: GeneratorConfig) -> list[Case]:
    """The rows of w+ that the map needs: fits without the first rows, and one fit with single rows removed.

    `fitted from`: a fit of the rows of one resolution and of all higher ones. `without`: the ordinary offset with one
    row set to zero. `only`: the ordinary offset with all other rows set to zero.
    """
    cases = []
    for side in config.resolutions:
        first = first_row_of_side(side)
        cases.append(Case(name, "fitted from", f"{side} px", replace(base, from_layer=first), images))
    everything = range(config.num_ws)
    for row in everything:
        others = tuple(other for other in everything if other != row)
        cases.append(Case(name, "without", f"row {row}", base, images, rows=others))
    cases += [Case(name, "only", f"row {row}", base, images, rows=(row,)) for row in everything]
    return cases


def images(name: str, base: FitSettings, images: int, config: GeneratorConfig) -> list[Case]:
    """Fits on 1, 10, 100 ... and `images` pictures, with the same number of steps."""
    counts = sorted({count for count in IMAGES if count < images} | {images})
    return [Case(name, "images", str(count), base, count) for count in counts]


def alphas(name: str, base: FitSettings, images: int, config: GeneratorConfig) -> list[Case]:
    """One fit, multiplied by several factors."""
    return [Case(name, "alpha", f"{alpha:g}", base, images, alpha=alpha) for alpha in ALPHAS]


ABLATIONS: dict[str, Callable[[str, FitSettings, int, GeneratorConfig], list[Case]]] = {
    "spaces": spaces,
    "rows": rows,
    "images": images,
    "alpha": alphas,
}
BASELINE = "baseline"
BASELINES = {"ridge": "ridge on w", "pixel_affine": "affine of colour, per pixel"}
UNORDERED = ("space",)
NUMERIC = {"images": "log", "alpha": "linear"}
"""Series whose labels are numbers, and the scale they are drawn on."""


def cases_of(what: str, types: list[str], base: FitSettings, images: int, config: GeneratorConfig) -> list[Case]:
    """The cases of an ablation, type after type; raises UserError for one that does not exist."""
    if what not in ABLATIONS:
        raise UserError(f"`what={what}`: choose from {', '.join(ABLATIONS)}")
    return [
        case for name in types for case in ABLATIONS[what](name, base.for_type(intrinsics.get(name)), images, config)
    ]
